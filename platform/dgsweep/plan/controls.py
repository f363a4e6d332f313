"""Controls: what the target's own patients would allow, and what labels that belong to other patients teach."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dgsweep.config.declaration import MethodDeclaration
from dgsweep.config.schema import SweepConfig
from dgsweep.errors import PlanError, Problem, Problems
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.draws import MethodEntry, trial_draw
from dgsweep.plan.grid import NetworkEntry
from dgsweep.plan.group import Group, group_trials
from dgsweep.plan.needs import Terms, refusal_reason
from dgsweep.plan.protocol import Domains, DomainSplit
from dgsweep.plan.roles import SMALLEST_POOL, TrialCases, target_patients, trial_cases
from dgsweep.plan.rows import SourceRow
from dgsweep.plan.split import Roles, unit_hash
from dgsweep.plan.trial import BASELINE, CEILING, SHUFFLED, TrialSpec


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What the controls of a sweep are planned on."""

    config: SweepConfig
    labels: Mapping[str, int]
    domains: Domains
    roles: Mapping[int, Roles]
    rows: Sequence[SourceRow]
    networks: Sequence[NetworkEntry]
    terms: Terms


def control_trials(
    ground: Ground, methods: Mapping[str, MethodDeclaration], planned: Sequence[TrialSpec], notes: list[str]
) -> list[TrialSpec]:
    """The trials that `controls` asks for, of the baseline with its defaults, in the panel `control`.

    What the data cannot carry, and a ceiling that an ERM cell of the sweep gives already, is said in `notes`.

    Raises:
        PlanError: the baseline is not installed, or a cell would be tested on a patient that it trained on.
    """
    asked, found = ground.config.controls, list[TrialSpec]()
    if not (asked.ceiling or asked.shuffled_labels):
        return found
    if BASELINE not in methods:
        problem = Problem(where="controls", found=f"the method {BASELINE} is not installed", fix="install it")
        raise PlanError("the controls cannot be planned", [problem])
    if asked.ceiling:
        for row in _ceiling_rows(ground, planned, notes):
            found += _trials(ground, row, _entry(ground, methods, CEILING), notes)
    if asked.shuffled_labels:
        for row in _shuffled_rows(ground, notes):
            labels_from = labels_of_others(row.cases.train, ground.config.protocol.factors)
            trials = _trials(ground, row, _entry(ground, methods, SHUFFLED), notes)
            found += [replace(trial, labels_from=labels_from) for trial in trials]
    return found


def labels_of_others(cases: Sequence[CaseInfo], factors: tuple[str, ...]) -> dict[str, str]:
    """Case -> a case of the next patient by hash, of the same domain where it has another patient; never its own."""
    given = {}
    for case in cases:
        others = [other for other in cases if other.patient_id != case.patient_id]
        alike = [other for other in others if other.domain(factors) == case.domain(factors)]
        own = _place(case.patient_id)
        order = [((_place(other.patient_id) - own) % 1.0, other.case_id) for other in alike or others]
        if order:
            given[case.case_id] = min(order)[1]
    return given


def patients_on_both_sides(cases: TrialCases) -> set[str]:
    """Patients that train or validate and are scored on as test or target too; there must be none."""
    return target_patients([*cases.train, *cases.val, *cases.unlabelled]) & target_patients(
        [*cases.test, *cases.target]
    )


def _place(patient: str) -> float:
    return unit_hash(patient, salt="shuffle\0")


def _entry(ground: Ground, methods: Mapping[str, MethodDeclaration], variant: str) -> MethodEntry:
    declaration = methods[BASELINE]
    draw = trial_draw(ground.config, declaration, {}, 0, Problems())  # the methods' own draws report what is wrong
    return MethodEntry(declaration=declaration, variant=variant, unlabelled="none", draws=(draw,))


def _ceiling_rows(ground: Ground, planned: Sequence[TrialSpec], notes: list[str]) -> Iterator[SourceRow]:
    protocol = ground.config.protocol
    targets = {name for row in ground.rows for name in row.split.targets if name not in row.split.sources}
    for name in sorted(targets):
        if any(trial.is_plain_baseline and trial.sources == (name,) for trial in planned):
            notes.append(f"controls: the cell of {BASELINE} on {name} is its ceiling, and is not trained twice")
            continue
        pool = target_patients([case for case in ground.domains[name] if case.labelled])
        if len(pool) < SMALLEST_POOL:
            notes.append(f"controls: {name} has {len(pool)} labelled patient(s), too few for a ceiling")
            continue
        split = DomainSplit(sources=(name,), targets=(), label=name)
        for fold, roles in ground.roles.items():
            cases = trial_cases(protocol, split, ground.domains, roles=roles, label_ratio=1.0)
            if cases.train and cases.test:
                yield SourceRow(split=split, fold=fold, label_ratio=1.0, cases=cases)
            else:
                notes.append(f"controls: {name} has no patient to train on, or none to test on, in fold {fold}")


def _shuffled_rows(ground: Ground, notes: list[str]) -> Iterator[SourceRow]:
    for row in ground.rows:
        if row.label_ratio != max(ground.config.protocol.label_ratio):
            continue
        if len(target_patients(row.cases.train)) > 1:
            yield row.given("none")
        else:
            notes.append(f"controls: {row.split.label} has one training patient, so labels cannot be shuffled")


def _trials(ground: Ground, row: SourceRow, entry: MethodEntry, notes: list[str]) -> list[TrialSpec]:
    both = sorted(patients_on_both_sides(row.cases))
    if both:
        problem = Problem(
            where=f"controls, {row.split.label}", found=f"{both[0]} trains and is tested", fix="report this"
        )
        raise PlanError("a control would be tested on its own training patients", [problem])
    found = []
    for network in ground.networks:
        reason = refusal_reason(entry.declaration.requires, network.declaration, row.cases, ground.terms)
        if reason:
            notes.append(f"controls: none of {row.split.label} with {network.declaration.name}: {reason}")
            continue
        group = Group(
            config=ground.config, labels=ground.labels, row=row, method=entry, network=network, side="control"
        )
        found += list(group_trials(group, {}))
    return found
