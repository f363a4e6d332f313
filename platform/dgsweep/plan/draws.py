"""The trials of one method: trial 0 is its defaults, the others vary hyperparameters and the training recipe."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import ValidationError

from dgsweep.config.composition import part_names
from dgsweep.config.declaration import MethodDeclaration
from dgsweep.config.names import name_advice
from dgsweep.config.schema import MethodConfig, SweepConfig, TrainingConfig, Unlabelled
from dgsweep.config.search_space import TRAINING_PREFIX, SearchSpace, draw, grid, grid_size
from dgsweep.errors import Problems
from dgsweep.plan.given import GivenStart, GivenTrial
from dgsweep.plan.hyperparameters import check_space, resolve_values
from dgsweep.plan.pretrain import Start, start_of
from dgsweep.plan.recipe import resolved_training
from dgsweep.plan.search import space_document, trials_of
from dgsweep.plan.trial import canonical_json


@dataclass(frozen=True, kw_only=True)
class TrialDraw:
    """Concrete values of one trial."""

    index: int
    hp: Mapping[str, Any]
    training: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """One method of the sweep with all its trials."""

    declaration: MethodDeclaration
    variant: str | None
    unlabelled: Unlabelled | Literal["none"]
    draws: tuple[TrialDraw, ...]
    start: Start | GivenStart | None = None
    """What its network starts from."""
    prompts: tuple[str, ...] | None = None
    """Prompt protocols of its own, instead of the sweep's."""
    space: Mapping[str, str] = field(default_factory=dict)
    """Where further trials are proposed from while the sweep runs; {} where every trial is planned."""
    trials: int = 1
    """Of each of its cells, those that are proposed later too."""


def method_entries(
    config: SweepConfig,
    methods: Mapping[str, MethodDeclaration],
    spaces: Mapping[str, SearchSpace],
    trials: Mapping[str, GivenTrial],
    problems: Problems,
    notes: list[str],
) -> list[MethodEntry]:
    """Every configured method that could be resolved; the others are noted in `problems`."""
    entries = []
    seen: set[tuple[str | None, ...]] = set()
    for index, wanted in enumerate(config.methods):
        where = f"methods.{index}"
        variant = wanted.variant or _default_variant(methods.get(wanted.name))
        key = (wanted.name, variant, wanted.unlabelled, *_start_key(wanted))
        if key in seen:
            problems.add(
                where, f"{wanted.name!r} stands twice", "give each its own `variant`, so that tables tell them apart"
            )
        elif wanted.name not in methods:
            unknown = next((part for part in part_names(wanted.name) if part not in methods), wanted.name)
            problems.add(f"{where}.name", f"no method {unknown!r}", name_advice(unknown, methods))
        else:
            space = spaces.get(wanted.name, SearchSpace(method=wanted.name))
            entries.append(
                replace(
                    _entry(config, wanted, methods[wanted.name], space, where=where, problems=problems, notes=notes),
                    start=start_of(wanted, methods, trials, where, problems),
                    prompts=wanted.prompts,
                )
            )
        seen.add(key)
    return entries


def _start_key(wanted: MethodConfig) -> tuple[str, ...]:
    start = wanted.init_from
    asked = wanted.prompts or ()
    return (start.name or "", start.trial or "", start.data, *asked) if start else asked


def _default_variant(declaration: MethodDeclaration | None) -> str | None:
    return declaration.variants[0] if declaration and declaration.variants else None


def _entry(
    config: SweepConfig,
    wanted: MethodConfig,
    declaration: MethodDeclaration,
    space: SearchSpace,
    *,
    where: str,
    problems: Problems,
    notes: list[str],
) -> MethodEntry:
    if wanted.variant and declaration.variants and wanted.variant not in declaration.variants:
        advice = name_advice(wanted.variant, declaration.variants)
        problems.add(f"{where}.variant", f"{wanted.name} has no variant {wanted.variant!r}", advice)
    fixed = resolve_values(declaration.hyperparameters, wanted.hp, f"{where}.hp", problems)
    check_space(space, declaration.hyperparameters, problems)
    free = _without_fixed(space, wanted.hp)
    known = {name for name in free.distributions if name.startswith(TRAINING_PREFIX) or name in fixed}
    rows = [{name: row[name] for name in row if name in known} for row in _rows(config, free, declaration.name)]
    draws = _distinct(
        [trial_draw(config, declaration, {**wanted.hp, **row}, index, problems) for index, row in enumerate(rows)]
    )
    document = _proposed_space(config, free, known, declaration)
    count = trials_of(document, config.search.trials, draws[0].hp, draws[0].training) if document else len(draws)
    drawn_from = free if document or config.search.sampler != "optuna" else SearchSpace(method=declaration.name)
    _note_missing(config, drawn_from, declaration.name, count, notes)
    variant = wanted.variant or _default_variant(declaration)
    unlabelled = _unlabelled(config, wanted, declaration, where, problems)
    return MethodEntry(
        declaration=declaration,
        variant=variant,
        unlabelled=unlabelled,
        draws=tuple(draws),
        space=document,
        trials=count,
    )


def _proposed_space(
    config: SweepConfig, free: SearchSpace, known: Collection[str], declaration: MethodDeclaration
) -> dict[str, str]:
    """What is searched while the sweep runs: nothing under the other samplers, nor of a method that is not trained."""
    if config.search.sampler != "optuna" or config.search.trials == 1 or not declaration.requires.trainable:
        return {}
    return space_document(replace(free, distributions={k: v for k, v in free.distributions.items() if k in known}))


def _unlabelled(
    config: SweepConfig, wanted: MethodConfig, declaration: MethodDeclaration, where: str, problems: Problems
) -> Unlabelled | Literal["none"]:
    """Whose unlabelled scans the method is given; `none` for a method that takes none."""
    if declaration.requires.unlabelled == "none":
        if wanted.unlabelled:
            found = f"found {wanted.unlabelled}, but {declaration.name} learns from labelled scans only"
            problems.add(f"{where}.unlabelled", found, "leave it out")
        return "none"
    kind = wanted.unlabelled or ("target_train" if declaration.requires.unlabelled == "target" else None)
    kind = kind or config.protocol.unlabelled
    if kind != "source" and config.protocol.target_cases == "all":
        found = (
            f"{declaration.name} learns from the targets' unlabelled scans, and every target patient is to be scored"
        )
        problems.add("protocol.target_cases", found, "set it to test, so that nobody trains and is scored")
    return kind


def _without_fixed(space: SearchSpace, fixed: Mapping[str, Any]) -> SearchSpace:
    """A hyperparameter that the sweep file fixes is not drawn."""
    kept = {name: distribution for name, distribution in space.distributions.items() if name not in fixed}
    return replace(space, distributions=kept)


def _rows(config: SweepConfig, space: SearchSpace, method: str) -> Sequence[Mapping[str, Any]]:
    if config.search.sampler == "grid":
        return grid(space, config.search.trials)
    if config.search.sampler == "optuna":
        return [{}]
    return [draw(space, method, index) for index in range(config.search.trials if space.distributions else 1)]


def trial_draw(
    config: SweepConfig, declaration: MethodDeclaration, values: Mapping[str, Any], index: int, problems: Problems
) -> TrialDraw:
    """One trial from values of hyperparameters and of `training.<field>`; what is not allowed goes to `problems`."""
    recipe = {name.removeprefix(TRAINING_PREFIX): v for name, v in values.items() if name.startswith(TRAINING_PREFIX)}
    own = {name: v for name, v in values.items() if not name.startswith(TRAINING_PREFIX)}
    hp = resolve_values(
        declaration.hyperparameters, own, declaration.name, Problems()
    )  # already reported with its place
    training = config.training
    if recipe:
        try:
            training = TrainingConfig.model_validate({**config.training.model_dump(), **recipe})
        except ValidationError as error:
            found = f"trial {index} draws {recipe!r:.80}, which the training section does not allow"
            problems.add(f"search space of {declaration.name}", found, str(error.errors()[0]["msg"]))
    resolved = resolved_training(training, config.budget.steps)
    where = f"trial {index} of {declaration.name}" if recipe else "training.batch"
    _check_batch(config, resolved["batch"], where, problems)
    _check_batch_domains(config, resolved["batch"], declaration, index if recipe else None, problems)
    return TrialDraw(index=index, hp=hp, training=resolved)


def _check_batch(config: SweepConfig, batch: int, where: str, problems: Problems) -> None:
    workers = config.resources.workers_per_trial
    if batch % workers and not any(problem.where == where for problem in problems):
        up = (batch // workers + 1) * workers
        found = f"a batch of {batch} cannot be shared equally by {workers} workers"
        problems.add(where, found, f"set training.batch to {up}, or change resources.workers_per_trial")


def _check_batch_domains(
    config: SweepConfig, batch: int, declaration: MethodDeclaration, index: int | None, problems: Problems
) -> None:
    """The sampler takes domains in turn, so a share of n patches holds n domains where the split has as many."""
    workers, needed = config.resources.workers_per_trial, declaration.requires.min_batch_domains
    where = f"training.batch for {declaration.name}" + ("" if index is None else f", trial {index}")
    if batch // workers < needed and not any(problem.where == where for problem in problems):
        shared = f" shared by {workers} workers" if workers > 1 else ""
        found = f"a batch of {batch}{shared} cannot hold the {needed} domains that {declaration.name} compares"
        problems.add(where, found, f"set training.batch to at least {needed * workers}")


def _distinct(draws: Sequence[TrialDraw]) -> list[TrialDraw]:
    """Trials with the same values are one trial: the first."""
    first: dict[str, TrialDraw] = {}
    for trial in draws:
        first.setdefault(canonical_json([trial.hp, trial.training]), trial)
    return list(first.values())


def _note_missing(config: SweepConfig, space: SearchSpace, method: str, count: int, notes: list[str]) -> None:
    asked = config.search.trials
    if config.search.sampler == "grid" and grid_size(space) > asked - 1 > 0:
        notes.append(
            f"{method}: the grid has {grid_size(space)} combinations; only the first {asked - 1} are in the plan"
        )
    elif count < asked:
        reason = "its search space has no more" if space.distributions else "it has no search space"
        notes.append(f"{method}: {count} of {asked} trials a cell, because {reason}")
