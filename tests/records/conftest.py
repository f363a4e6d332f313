"""A plan of two trials on five scans, in an empty ledger."""

import dataclasses
import sys
from pathlib import Path

import pytest

from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this makes records_rows importable

from records_rows import make_spec


@pytest.fixture
def spec() -> TrialSpec:
    return make_spec("aaaa000011112222", 0)


@pytest.fixture
def plan(spec: TrialSpec) -> Plan:
    return Plan(sweep="tiny", config={"name": "tiny"}, trials=(spec, make_spec("bbbb000011112222", 1)))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "run")


@pytest.fixture
def wider(spec: TrialSpec) -> TrialSpec:
    """The same training with one more target case."""
    split = dataclasses.replace(spec.split, target=(*spec.split.target, "t3"))
    domains, shas = {**spec.domains, "t3": "C3/T2W"}, {**spec.score_shas, "t3": "shaW"}
    return dataclasses.replace(spec, split=split, domains=domains, score_shas=shas, targets=(*spec.targets, "C3/T2W"))
