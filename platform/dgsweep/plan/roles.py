"""The cases of one trial: who trains, who validates, who is scored."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dgsweep.config.schema import ProtocolConfig, Unlabelled
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.protocol import Domains, DomainSplit
from dgsweep.plan.split import Roles, unit_hash

SMALLEST_POOL_WITH_VAL = 3
SMALLEST_POOL = 2

Cases = tuple[CaseInfo, ...]


@dataclass(frozen=True, kw_only=True)
class TrialCases:
    """Cases by role, labelled unless said otherwise; `train` and `val` are ordered by content, not by name."""

    train: Cases
    val: Cases
    test: Cases
    target: Cases
    unlabelled: Cases = ()
    """Scans that train without their labels; none of their patients validates or is scored."""

    def scored(self) -> Cases:
        """Every case whose score the ledger keeps."""
        return (*self.val, *self.test, *self.target)


def trial_cases(
    protocol: ProtocolConfig, split: DomainSplit, domains: Domains, *, roles: Roles, label_ratio: float
) -> TrialCases:
    """Cases of one source set in one fold.

    A pool of fewer than three labelled patients has no val: its val patients train. A source domain that is a target
    too is scored in-domain. With a label ratio below 1 the subsets are nested: a larger ratio only adds patients.
    """
    source = [case for name in split.sources for case in domains[name] if case.labelled]
    pool = {case.patient_id for case in source}
    has_val = len(pool) >= SMALLEST_POOL_WITH_VAL
    trains = {patient for patient in pool if roles[patient] == "train" or (roles[patient] == "val" and not has_val)}
    validates = {patient for patient in pool if roles[patient] == "val" and has_val}
    target = [case for name in split.targets if name not in split.sources for case in domains[name] if case.labelled]
    if protocol.target_cases == "all":
        seen = {patient for patient in target_patients(target) if patient not in trains | validates}
    else:
        seen = {patient for patient in target_patients(target) if roles[patient] == "test"}
    return TrialCases(
        train=_by_content(_labelled_share(source, trains, protocol.factors, label_ratio), protocol.factors),
        val=_by_content(_labelled_share(source, validates, protocol.factors, label_ratio), protocol.factors),
        test=_by_name((case for case in source if roles[case.patient_id] == "test"), protocol.factors),
        target=_by_name((case for case in target if case.patient_id in seen), protocol.factors),
    )


def unlabelled_cases(
    kind: Unlabelled, split: DomainSplit, domains: Domains, *, roles: Roles, cases: TrialCases, factors: tuple[str, ...]
) -> Cases:
    """Scans that a trial may learn from without their labels.

    Of the source domains, of the targets' or of both: scans of training patients that are not among the labelled ones
    (a label ratio below 1 leaves some), and of patients without any label, whom nothing scores.
    """
    names = {"source": split.sources, "target_train": split.targets, "both": (*split.sources, *split.targets)}[kind]
    shown, labelled = _may_be_shown(domains, roles, cases), {case.case_id for case in cases.train}
    free = [
        case
        for name in dict.fromkeys(names)
        for case in domains[name]
        if case.case_id not in labelled and case.patient_id in shown
    ]
    return _by_content(free, factors)


def pretraining_cases(
    pool: str, split: DomainSplit, domains: Domains, *, roles: Roles, cases: TrialCases, factors: tuple[str, ...]
) -> Cases:
    """Scans whose images a pretraining may see: of training patients, and of those whom no label can score.

    `source`: of the source domains; `all_unlabelled`: of every domain. Nobody who validates or is scored is among them.
    """
    names = split.sources if pool == "source" else tuple(domains)
    trains = target_patients(cases.train) - target_patients(cases.scored())
    shown = _may_be_shown(domains, roles, cases) | trains
    return _by_content((case for name in names for case in domains[name] if case.patient_id in shown), factors)


def _may_be_shown(domains: Domains, roles: Roles, cases: TrialCases) -> set[str]:
    """Patients whose scans a trial may see without labels: they train, or have no label, and nothing scores them."""
    every = [case for members in domains.values() for case in members]
    known = target_patients([case for case in every if case.labelled])
    free = {patient for patient in target_patients(every) if roles[patient] == "train" or patient not in known}
    return free - target_patients(cases.scored())


def target_patients(cases: Sequence[CaseInfo]) -> set[str]:
    """Patient ids of some cases."""
    return {case.patient_id for case in cases}


def _labelled_share(
    cases: Sequence[CaseInfo], patients: set[str], factors: tuple[str, ...], label_ratio: float
) -> list[CaseInfo]:
    """Cases of the first `label_ratio` of the patients of each domain, in hash order, rounded up."""
    by_domain: dict[str, list[CaseInfo]] = {}
    for case in cases:
        if case.patient_id in patients:
            by_domain.setdefault(case.domain(factors), []).append(case)
    kept = []
    for members in by_domain.values():
        ordered = sorted({case.patient_id for case in members}, key=lambda patient: unit_hash(patient, salt="label\0"))
        chosen = set(ordered[: _rounded_up(label_ratio, len(ordered))])
        kept += [case for case in members if case.patient_id in chosen]
    return kept


def _rounded_up(ratio: float, count: int) -> int:
    """Ceiling that forgives the binary form of decimal ratios: 0.1 of 30 patients are 3, not 4."""
    return math.ceil(round(ratio * count, 9))


def _by_content(cases: Iterable[CaseInfo], factors: tuple[str, ...]) -> Cases:
    def content(case: CaseInfo) -> tuple[str, str, float, str]:
        return case.image_sha, case.label_sha, unit_hash(case.patient_id), case.domain(factors)

    return tuple(sorted(cases, key=content))


def _by_name(cases: Iterable[CaseInfo], factors: tuple[str, ...]) -> Cases:
    return tuple(sorted(cases, key=lambda case: (case.domain(factors), case.case_id)))
