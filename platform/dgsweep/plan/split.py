"""ONE division of all patients into train, val and test per fold: by a stable hash, stratified where possible."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from dgsweep.errors import PlanError, Problems
from dgsweep.plan.case import CaseInfo

Role = Literal["train", "val", "test"]
Roles = dict[str, Role]

VAL_SHARE = 0.2
"""Chance that a patient outside the test bucket is a validation patient."""
SINGLE_FOLD_BUCKETS = 4
"""Without folds a quarter of the patients is for testing."""
_SMALLEST_STRATUM = 3
_OFFICIAL: Mapping[str, Role] = {"train": "train", "val": "val", "test": "test"}


def unit_hash(text: str, *, salt: str = "") -> float:
    """A number in [0, 1) that depends on `salt` and `text` only: SHA-256 over 2^256."""
    return int.from_bytes(hashlib.sha256(f"{salt}{text}".encode()).digest()[:7], "big") / 2**56


def assign_roles(cases: Sequence[CaseInfo], factors: tuple[str, ...], folds: int) -> dict[int, Roles]:
    """Role of every patient in every fold.

    Bucket of a patient = floor(hash * B), with B = folds (4 without folds); fold f tests bucket f; of the others, those
    with a second hash below 0.2 are val. Only a stratum (patients with the same set of domains; small ones are pooled)
    in which a role would be empty is repaired, so that adding a patient moves no other, except in such a stratum.

    Raises:
        PlanError: when the official split contradicts itself or comes with folds.
    """
    official = _official_roles(cases, folds)
    strata = _strata([case for case in cases if case.patient_id not in official], factors, folds)
    divided: dict[int, Roles] = {fold: dict(official) for fold in range(folds)}
    for patients in strata:
        buckets = _buckets(patients, folds)
        for fold in range(folds):
            divided[fold].update(_fold_roles(patients, buckets, fold))
    return {fold: dict(sorted(roles.items())) for fold, roles in divided.items()}


def _official_roles(cases: Sequence[CaseInfo], folds: int) -> Roles:
    """Roles from the manifest's split column; a patient without one is left to the hash."""
    problems = Problems()
    named: dict[str, set[str]] = {}
    for case in cases:
        if case.split:
            named.setdefault(case.patient_id, set()).add(case.split)
    for patient, values in sorted(named.items()):
        if len(values) > 1:
            found = f"the official split puts its cases into {', '.join(sorted(values))}"
            problems.add(f"patient {patient}", found, "all cases of a patient stand on one side")
        for value in sorted(values - set(_OFFICIAL)):
            problems.add(f"patient {patient}", f"split is {value!r}", "must be train, val, test or empty")
    if named and folds > 1:
        problems.add("protocol.folds", f"found {folds}, but the manifest has an official split", "set folds to 1")
    problems.raise_if_any(PlanError, "the official split cannot be honoured")
    return {patient: _OFFICIAL[value] for patient, values in named.items() for value in values}


def _strata(cases: Sequence[CaseInfo], factors: tuple[str, ...], folds: int) -> list[list[str]]:
    """Patients by their set of domains; sets with too few patients to fill every role are pooled."""
    domains: dict[str, set[str]] = {}
    for case in cases:
        domains.setdefault(case.patient_id, set()).add(case.domain(factors))
    by_set: dict[tuple[str, ...], list[str]] = {}
    for patient, names in sorted(domains.items()):
        by_set.setdefault(tuple(sorted(names)), []).append(patient)
    least = max(folds, _SMALLEST_STRATUM)
    large = [patients for _, patients in sorted(by_set.items()) if len(patients) >= least]
    pooled = sorted(patient for patients in by_set.values() if len(patients) < least for patient in patients)
    return [*large, *([pooled] if pooled else [])]


def _buckets(patients: Sequence[str], folds: int) -> dict[str, int]:
    """Bucket of each patient, after the repair of buckets that would be empty."""
    count = folds if folds > 1 else SINGLE_FOLD_BUCKETS
    buckets = {patient: int(unit_hash(patient) * count) for patient in patients}
    if folds > 1:
        for bucket in range(folds):
            _fill(buckets, bucket, count)
        return buckets
    if len(patients) > 1 and 0 not in buckets.values():
        _move(buckets, _nearest(buckets, 0, count), 0)
    rest = min(2, len(patients) - 1)  # one to train on, and one to validate on where there are three
    while sum(bucket != 0 for bucket in buckets.values()) < rest:
        in_test = [patient for patient in buckets if buckets[patient] == 0]
        _move(buckets, max(in_test, key=_order), 1)
    return buckets


def _fill(buckets: dict[str, int], bucket: int, count: int) -> None:
    """Give an empty bucket the patient nearest by hash from the fullest one that can spare a patient."""
    if bucket in buckets.values():
        return
    sizes = [list(buckets.values()).count(index) for index in range(count)]
    fullest = max(range(count), key=lambda index: (sizes[index], -index))
    if sizes[fullest] > 1:
        donors = {patient: at for patient, at in buckets.items() if at == fullest}
        _move(buckets, _nearest(donors, bucket, count), bucket)


def _move(buckets: dict[str, int], patient: str, bucket: int) -> None:
    buckets[patient] = bucket


def _nearest(patients: Iterable[str], bucket: int, count: int) -> str:
    middle = (bucket + 0.5) / count
    return min(patients, key=lambda patient: (abs(unit_hash(patient) - middle), patient))


def _order(patient: str) -> tuple[float, str]:
    return unit_hash(patient), patient


def _val_order(patient: str) -> tuple[float, str]:
    return unit_hash(patient, salt="val\0"), patient


def _fold_roles(patients: Sequence[str], buckets: Mapping[str, int], fold: int) -> Roles:
    """Roles of one stratum in one fold; val and train each keep a patient where two are left."""
    roles: Roles = {patient: "test" for patient in patients if buckets[patient] == fold}
    rest = sorted((patient for patient in patients if buckets[patient] != fold), key=_val_order)
    val = [patient for patient in rest if _val_order(patient)[0] < VAL_SHARE]
    if len(rest) < 2:
        val = []
    elif not val:
        val = rest[:1]
    elif len(val) == len(rest):
        val = rest[:-1]
    roles.update({patient: "val" if patient in set(val) else "train" for patient in rest})
    return roles
