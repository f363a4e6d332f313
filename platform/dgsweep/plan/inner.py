"""Inner cells of leave-one-domain-out selection: each source domain left out of training once, and scored on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dgsweep.errors import Problems
from dgsweep.plan.controls import Ground
from dgsweep.plan.draws import MethodEntry
from dgsweep.plan.grid import NetworkEntry
from dgsweep.plan.group import Group, group_trials
from dgsweep.plan.needs import refusal_reason
from dgsweep.plan.protocol import DomainSplit
from dgsweep.plan.roles import Cases, target_patients, trial_cases, unlabelled_cases
from dgsweep.plan.rows import SourceRow
from dgsweep.plan.trial import INNER_RULE, TrialSpec

WHERE = f"selection ({INNER_RULE})"


def inner_trials(
    ground: Ground, entries: Sequence[MethodEntry], planned: Sequence[TrialSpec], problems: Problems, notes: list[str]
) -> list[TrialSpec]:
    """The trials that `inner_leave_one_domain_out` needs beside those of the methods, in the panel `inner`.

    For every cell with several trials and every source domain d: each of its trials again without d, scored on d's
    validation patients, whom nothing trains on and no table shows. Cells that leave the same sources are one, as in
    DomainBed (I. Gulrajani, D. Lopez-Paz, ICLR 2021), where a run that leaves out two environments serves both. What
    cannot be held out is noted in `problems`.
    """
    if INNER_RULE not in ground.config.selection:
        return []
    _check_search(ground, problems)
    cells = {_key(trial) for trial in planned if trial.phase == "train"}
    found = list[TrialSpec]()
    for group in _groups(ground, entries, cells, problems):
        found += list(group_trials(group, {}))
    if not found and not problems:
        notes.append(f"{WHERE}: every cell has one trial, so there is nothing to choose and no inner cell is needed")
    return found


def _check_search(ground: Ground, problems: Problems) -> None:
    if ground.config.search.needs_validation:
        found = "a search that source validation steers while it runs has no trials that inner cells could repeat"
        problems.add(WHERE, found, "set search.sampler to random or grid, and search.scheduler to none")


def _key(trial: TrialSpec) -> tuple[object, ...]:
    return trial.method, trial.setting.variant, trial.network, trial.sources, trial.fold, trial.setting.label_ratio


def _groups(
    ground: Ground, entries: Sequence[MethodEntry], cells: set[tuple[object, ...]], problems: Problems
) -> Iterator[Group]:
    """Sources without the domains that are held out, for each method and network."""
    config, labels = ground.config, ground.labels
    for network in ground.networks:
        for entry in entries:
            if not entry.declaration.requires.trainable:
                continue
            held = _held_out(ground, entry, network, cells, problems)
            for (sources, fold, ratio), names in held.items():
                row = _row(ground, sources, (fold, ratio), sorted(names), entry)
                if _carries(ground, row, entry, network, sorted(names), problems):
                    yield Group(config=config, labels=labels, row=row, method=entry, network=network, side="inner")


def _held_out(
    ground: Ground, entry: MethodEntry, network: NetworkEntry, cells: set[tuple[object, ...]], problems: Problems
) -> dict[tuple[tuple[str, ...], int, float], set[str]]:
    """(Sources that are left, fold, share of labels) -> the domains that were left out, over all cells of a method."""
    held: dict[tuple[tuple[str, ...], int, float], set[str]] = {}
    for row in ground.rows:
        sources = tuple(sorted(row.split.sources))
        name, variant = entry.declaration.name, entry.variant
        if (name, variant, network.declaration.name, sources, row.fold, row.label_ratio) not in cells:
            continue  # refused, with its reason
        if len(sources) < 2:
            found = f"{row.split.label} is one source domain, and none can be left out of it"
            _once(problems, found, "choose another rule, or a protocol whose source sets have several domains")
        elif len(entry.draws) > 1:
            _check_entry(entry, problems)
            for left_out in sources:
                rest = tuple(other for other in sources if other != left_out)
                held.setdefault((rest, row.fold, row.label_ratio), set()).add(left_out)
    return held


def _once(problems: Problems, found: str, fix: str) -> None:
    if not any(problem.where == WHERE and problem.found == found for problem in problems):
        problems.add(WHERE, found, fix)


def _check_entry(entry: MethodEntry, problems: Problems) -> None:
    if entry.start is not None:
        _once(problems, f"{entry.declaration.name} starts from other weights (init_from)", "choose another rule")
    if entry.unlabelled in ("target_train", "both"):
        _once(problems, f"{entry.declaration.name} is shown images of targets", "set unlabelled: source")


def _row(
    ground: Ground, sources: tuple[str, ...], of: tuple[int, float], held: Sequence[str], entry: MethodEntry
) -> SourceRow:
    """The cases of an inner cell: its targets are validation patients of what was left out, its test is empty."""
    (fold, ratio), protocol, roles = of, ground.config.protocol, ground.roles[of[0]]
    split = DomainSplit(sources=sources, targets=tuple(held), label=f"inner {'+'.join(sources)}")
    cases = trial_cases(protocol, split, ground.domains, roles=roles, label_ratio=ratio)
    trained = target_patients(cases.train)
    scored: Cases = tuple(
        case
        for name in held
        for case in ground.domains[name]
        if case.labelled and roles[case.patient_id] == "val" and case.patient_id not in trained
    )
    cases = replace(cases, test=(), target=tuple(sorted(scored, key=lambda case: case.case_id)))
    if entry.unlabelled == "source":
        free = unlabelled_cases("source", split, ground.domains, roles=roles, cases=cases, factors=protocol.factors)
        cases = replace(cases, unlabelled=free)
    return SourceRow(split=split, fold=fold, label_ratio=ratio, cases=cases)


def _carries(
    ground: Ground,
    row: SourceRow,
    entry: MethodEntry,
    network: NetworkEntry,
    held: Sequence[str],
    problems: Problems,
) -> bool:
    """Whether the cell can be trained and every domain that it leaves out can be scored; if not, a problem says why."""
    name, factors, before = entry.declaration.name, ground.config.protocol.factors, len(list(problems))
    scored = {case.domain(factors) for case in row.cases.target}
    for domain in sorted(set(held) - scored):
        _once(problems, f"{domain} has no validation patient in fold {row.fold} to score on", "add patients")
    if not row.cases.train:
        _once(problems, f"without {', '.join(held)} no training patient is left", "add patients")
    elif reason := refusal_reason(entry.declaration.requires, network.declaration, row.cases, ground.terms):
        _once(problems, f"{name} without {', '.join(held)}: {reason}", "choose another rule, or leave the method out")
    return len(list(problems)) == before
