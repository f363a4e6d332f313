"""Reading a finished trial from its folder: what is missing or damaged is said, at the place of the sweep file."""

import hashlib
import json
from dataclasses import replace

import pytest

from dgsweep.errors import Problems
from dgsweep.records.given import read_given
from dgsweep.records.ledger import Ledger

WHERE = "methods.0.init_from.trial"


@pytest.fixture
def finished(tmp_path, spec):
    """Folder of a trial with a spec and weights."""

    def make(**changes):
        own = replace(spec, **changes)
        ledger = Ledger(tmp_path / "out")
        ledger.begin(own)
        weights = ledger.paths(own.trial_id).final_weights
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_bytes(b"weights")
        return ledger.paths(own.trial_id).root

    return make


def test_a_finished_trial_is_read_with_the_hash_of_its_weights(finished):
    folder, problems = finished(), Problems()
    found = read_given(folder, WHERE, problems)
    assert not problems
    assert found.spec.trial_id == folder.name
    assert found.checkpoint == str(folder / "checkpoint" / "final.pt")
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()
    before = found.sha256
    (folder / "checkpoint" / "final.pt").write_bytes(b"others")
    assert read_given(folder, WHERE, problems).sha256 != before


def test_a_folder_without_a_trial_and_one_that_has_not_finished_are_told_apart(finished, tmp_path):
    problems = Problems()
    assert read_given(tmp_path / "out" / "trials" / "nothing", WHERE, problems) is None
    folder = finished()
    (folder / "checkpoint" / "final.pt").unlink()
    assert read_given(folder, WHERE, problems) is None
    texts = [str(problem) for problem in problems]
    assert "no spec.json there -> give the folder of a finished trial" in texts[0]
    assert "no checkpoint/final.pt, so it has not finished training" in texts[1]
    assert all(text.startswith(WHERE) for text in texts)


def test_a_spec_that_is_damaged_is_a_problem_and_no_crash(finished):
    folder, problems = finished(), Problems()
    (folder / "spec.json").write_text(json.dumps({"trial_id": "x"}))
    assert read_given(folder, WHERE, problems) is None
    assert "its spec.json cannot be read" in str(next(iter(problems)))


def test_what_the_trial_started_from_is_its_history(finished):
    first = finished(trial_id="first")
    second = finished(trial_id="second", depends_on=("first",))
    third = finished(trial_id="third", given={"checkpoint": str(second / "checkpoint" / "final.pt")})
    found = read_given(third, WHERE, Problems())
    assert [spec.trial_id for spec in found.history] == ["third", "second", "first"]
    assert [spec.trial_id for spec in read_given(first, WHERE, Problems()).history] == ["first"]
