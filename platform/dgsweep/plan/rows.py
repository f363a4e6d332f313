"""The rows that every method shares: source set, fold, label ratio, and whether the data can carry them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dgsweep.config.schema import Pool, SweepConfig, Unlabelled
from dgsweep.errors import Problems
from dgsweep.plan.protocol import Domains, DomainSplit
from dgsweep.plan.roles import (
    SMALLEST_POOL,
    SMALLEST_POOL_WITH_VAL,
    Cases,
    TrialCases,
    pretraining_cases,
    target_patients,
    trial_cases,
    unlabelled_cases,
)
from dgsweep.plan.split import Roles


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """One source set in one fold with one share of the labels."""

    split: DomainSplit
    fold: int
    label_ratio: float
    cases: TrialCases
    unlabelled: Mapping[str, Cases] = field(default_factory=dict)
    """Kind (source, target_train, both) -> scans that a method may learn from without labels."""
    pretraining: Mapping[str, Cases] = field(default_factory=dict)
    """Pool (source, all_unlabelled) -> scans that a pretraining may see."""

    def given(self, kind: str) -> "SourceRow":
        """The row with unlabelled scans of one kind among its cases; without any for `none`."""
        return replace(self, cases=replace(self.cases, unlabelled=self.unlabelled.get(kind, ())))


@dataclass(frozen=True, kw_only=True)
class WantedImages:
    """Which scans without labels the methods of a sweep want."""

    unlabelled: Collection[Unlabelled] = ()
    pretraining: Collection[Pool] = ()


def source_rows(
    config: SweepConfig,
    splits: Sequence[DomainSplit],
    domains: Domains,
    *,
    roles: Mapping[int, Roles],
    images: WantedImages,
    problems: Problems,
    notes: list[str],
) -> list[SourceRow]:
    """Every row that the data can carry, with the scans without labels that the methods want.

    What the data cannot carry is noted in `problems`, what is worth knowing in `notes`.
    """
    rows = []
    for split in splits:
        if not _sources_carry(split, domains, problems):
            continue
        for fold, patients in roles.items():
            for ratio in dict.fromkeys(config.protocol.label_ratio):
                cases = trial_cases(config.protocol, split, domains, roles=patients, label_ratio=ratio)
                row = SourceRow(split=split, fold=fold, label_ratio=ratio, cases=cases)
                row = _with_images(row, domains, patients, config.protocol.factors, images)
                _check_row(config, row, problems, notes)
                rows.append(row)
    return rows


def _with_images(
    row: SourceRow, domains: Domains, roles: Roles, factors: tuple[str, ...], images: WantedImages
) -> SourceRow:
    """The row with the scans that may be learnt from without labels."""
    cases = row.cases
    free: dict[str, Cases] = {
        kind: unlabelled_cases(kind, row.split, domains, roles=roles, cases=cases, factors=factors)
        for kind in images.unlabelled
    }
    seen: dict[str, Cases] = {
        pool: pretraining_cases(pool, row.split, domains, roles=roles, cases=cases, factors=factors)
        for pool in images.pretraining
    }
    return replace(row, unlabelled=free, pretraining=seen)


def _sources_carry(split: DomainSplit, domains: Domains, problems: Problems) -> bool:
    where = f"sources {split.label}"
    bare = [name for name in split.sources if not any(case.labelled for case in domains[name])]
    for name in bare:
        problems.add(where, f"no case of {name} has a label", "leave the domain out (kind: explicit), or add labels")
    pool = target_patients([case for name in split.sources for case in domains[name] if case.labelled])
    if not bare and len(pool) < SMALLEST_POOL:
        problems.add(where, f"they pool to {len(pool)} labelled patient(s)", "training and testing need at least two")
        return False
    return not bare


def _check_row(config: SweepConfig, row: SourceRow, problems: Problems, notes: list[str]) -> None:
    where = f"sources {row.split.label}, fold {row.fold}"
    if not row.cases.train:
        problems.add(where, "no labelled patient of them falls into train", "add patients, or pool more domains")
        return
    patients = target_patients(row.cases.train)
    if row.label_ratio < 1 and len(patients) < SMALLEST_POOL:
        found = f"label_ratio {row.label_ratio:g} leaves {len(patients)} labelled training patient"
        problems.add(where, found, "at least two: raise the ratio, or add labelled patients")
    if not row.cases.val:
        _check_selection(config, row, where, problems, notes)
        _check_search(config, row, where, problems)
    trained = {case.domain(config.protocol.factors) for case in row.cases.train}
    for name in sorted(set(row.split.sources) - trained):
        notes.append(f"{where}: {name} has no training case in this fold")
    if not row.cases.test:
        notes.append(f"{where}: no test patient, so nothing is scored in-domain")
    foreign = [name for name in row.split.targets if name not in row.split.sources]
    scored = {case.domain(config.protocol.factors) for case in row.cases.target}
    for name in sorted(set(foreign) - scored):
        notes.append(f"{where}: the target {name} has no labelled case to score in this fold")


def usable_selection(config: SweepConfig, rows: Sequence[SourceRow]) -> SweepConfig:
    """The configuration with the rule `last` where the file names no rule and a source set has no validation."""
    if "selection" in config.model_fields_set or all(row.cases.val for row in rows):
        return config
    return config.model_copy(update={"selection": ("last",)})


def _check_search(config: SweepConfig, row: SourceRow, where: str, problems: Problems) -> None:
    """A search that learns while it runs has nothing to learn from without validation patients."""
    search = config.search
    if not search.needs_validation:
        return
    name = "sampler: optuna" if search.sampler == "optuna" else "scheduler: asha"
    found = f"validation is empty ({_why_no_validation(row)}), and search.{name} is steered by it"
    fix = (
        f"set search.sampler to random or grid and search.scheduler to none, or add patients ({SMALLEST_POOL_WITH_VAL})"
    )
    problems.add(where, found, fix)


def _why_no_validation(row: SourceRow) -> str:
    pool = target_patients([*row.cases.train, *row.cases.test])
    return (
        f"fewer than {SMALLEST_POOL_WITH_VAL} patients" if len(pool) < SMALLEST_POOL_WITH_VAL else "no patient for it"
    )


def _check_selection(config: SweepConfig, row: SourceRow, where: str, problems: Problems, notes: list[str]) -> None:
    """Without validation patients only the rule `last` can choose."""
    why = _why_no_validation(row)
    if config.selection == ("last",):
        notes.append(f"{where}: validation is empty ({why}); only the rule `last` is allowed")
    elif "selection" not in config.model_fields_set:
        notes.append(f"{where}: validation is empty ({why}); the rule `last` takes the place of the default")
    else:
        found = f"validation is empty ({why}), so the rules {', '.join(config.selection)} cannot choose"
        problems.add(where, found, "set selection: [last], or add patients")
