"""How many trials fit, and which requests nobody can meet. Expected numbers are counted by hand."""

from pathlib import Path

import pytest

from dgsweep.config.limits import ResourcesConfig
from dgsweep.errors import ResourceError
from dgsweep.execution.resources import Node, available_cpus, resolve_resources

LAPTOP = Node(name="laptop", cpus=8, gpus=0)
SERVER = Node(name="server", cpus=64, gpus=4)
SMALL_SERVER = Node(name="small server", cpus=6, gpus=2)


def resolved(nodes: list[Node], **wanted: float) -> tuple[int, int, float, int]:
    found = resolve_resources(ResourcesConfig.model_validate(wanted), nodes)
    return found.workers, found.threads, found.gpus_per_worker, found.max_concurrent


@pytest.mark.parametrize(
    ("nodes", "wanted", "expected"),
    [
        ([LAPTOP], {}, (1, 1, 0.0, 8)),
        ([LAPTOP], {"cpus_per_trial": 3}, (1, 3, 0.0, 2)),
        ([LAPTOP], {"workers_per_trial": 2}, (2, 1, 0.0, 4)),
        ([LAPTOP], {"workers_per_trial": 2, "cpus_per_trial": 6}, (2, 3, 0.0, 1)),
        ([SERVER], {}, (1, 8, 1.0, 4)),
        ([SMALL_SERVER], {}, (1, 3, 1.0, 2)),
        ([SERVER, SMALL_SERVER], {}, (1, 3, 1.0, 6)),
        ([SERVER], {"gpus_per_trial": 0}, (1, 1, 0.0, 64)),
        ([SERVER], {"gpus_per_trial": 0.5}, (1, 8, 0.5, 8)),
        ([SERVER], {"workers_per_trial": 4}, (4, 8, 1.0, 1)),
        ([LAPTOP, SERVER], {"cpus_per_trial": 16}, (1, 16, 1.0, 4)),
    ],
)
def test_open_values_are_filled_in_and_trials_counted(nodes, wanted, expected) -> None:
    assert resolved(nodes, **wanted) == expected


@pytest.mark.parametrize(
    ("nodes", "wanted", "message"),
    [
        ([LAPTOP], {"cpus_per_trial": 9}, r"laptop: has 8 core\(s\) and 0 GPU\(s\)"),
        ([LAPTOP, LAPTOP], {"cpus_per_trial": 9}, "no machine"),
        ([LAPTOP], {"gpus_per_trial": 1}, "no machine"),
        ([SERVER], {"workers_per_trial": 5}, "no machine"),
        ([LAPTOP], {"workers_per_trial": 2, "cpus_per_trial": 3}, "a multiple of 2"),
        ([SERVER], {"workers_per_trial": 2, "gpus_per_trial": 1}, "one GPU a worker"),
        ([SERVER], {"gpus_per_trial": 2}, "one GPU a worker"),
    ],
)
def test_a_request_nobody_can_meet_is_refused_with_what_there_is(nodes, wanted, message) -> None:
    with pytest.raises(ResourceError, match=message):
        resolved(nodes, **wanted)


def test_a_control_group_quota_limits_the_cores(tmp_path: Path) -> None:
    unlimited = available_cpus(tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert available_cpus(tmp_path) == unlimited
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert available_cpus(tmp_path) == 1
