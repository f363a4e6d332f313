"""Results are their owner's alone unless DGSWEEP_UMASK says otherwise."""

import os

import pytest

from dgsweep.config.umask import current_umask, wanted_umask
from dgsweep.errors import ConfigError


def test_nobody_else_reads_by_default_and_a_group_may_be_let_in() -> None:
    assert wanted_umask({}) == 0o077
    assert wanted_umask({"DGSWEEP_UMASK": "027"}) == 0o027


@pytest.mark.parametrize("text", ["rwx", "8", "-1", "0777", "000", "700", "0o77x"])
def test_a_mask_that_locks_out_the_owner_or_lets_everybody_write_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="three octal digits"):
        wanted_umask({"DGSWEEP_UMASK": text})


def test_asking_for_the_mask_leaves_it_as_it_is() -> None:
    before = os.umask(0o027)
    try:
        assert current_umask() == current_umask() == 0o027
    finally:
        os.umask(before)
