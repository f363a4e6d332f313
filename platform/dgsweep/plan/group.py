"""The trials of one source row, method and network: their fields and their identity."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

from dgsweep.config.schema import SweepConfig
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.draws import MethodEntry, TrialDraw
from dgsweep.plan.given import GivenStart, panel_of_start
from dgsweep.plan.grid import NetworkEntry, planned_patch, working_spacing
from dgsweep.plan.identity import cell_identity, grid_content, learning_keys, score_fingerprints, train_fingerprint
from dgsweep.plan.needs import panel_of
from dgsweep.plan.pretrain import Stage, Start, pretraining
from dgsweep.plan.protocol import DomainSplit
from dgsweep.plan.recipe import resolved_training, scoring_sections
from dgsweep.plan.rows import SourceRow
from dgsweep.plan.search import CellSearch
from dgsweep.plan.trial import Panel, Preprocessing, Setting, Split, TrialSpec, canonical_json, content_id


@dataclass(frozen=True, kw_only=True)
class Group:
    """What the trials of one source row, method and network share."""

    config: SweepConfig
    labels: Mapping[str, int]
    row: SourceRow
    method: MethodEntry
    network: NetworkEntry
    side: Panel | None = None
    """The panel of cells that stand beside the methods; None: by what their training is shown."""

    @cached_property
    def grid(self) -> Preprocessing:
        """Fitted on the labelled training cases."""
        config, train = self.config, self.row.cases.train
        spacing = working_spacing(config.data, train)
        patch = config.data.patch or planned_patch(train, spacing, self.network)
        return Preprocessing(spacing_mm=spacing, patch=patch, labels=dict(self.labels))


def starts_of(group: Group) -> dict[int, TrialSpec]:
    """Seed -> the pretraining that the group's trials of that seed start from; none where they start from the seed."""
    start = group.method.start
    if not isinstance(start, Start):
        return {}
    row, images = group.row, group.row.pretraining[start.data]
    stage = partial(
        Stage, network=group.network, preprocessing=group.grid, fold=row.fold, sources_label=row.split.label
    )
    return {seed: pretraining(start, images, group.config, stage(seed=seed)) for seed in group.config.seeds}


def group_trials(group: Group, starts: Mapping[int, TrialSpec]) -> Iterator[TrialSpec]:
    """The trials of a group; `starts` gives for each seed what they start from."""
    shared = _shared_fields(group)
    base = learning_keys(resolved_training(group.config.training, group.config.budget.steps))
    for seed in group.config.seeds:
        depends_on = (starts[seed].trial_id,) if starts else ()
        for draw in group.method.draws:
            identity = {
                **_identity(group, shared),
                **_start_identity(group, depends_on),
                "seed": seed,
                "hp": draw.hp,
                "training": learning_keys(draw.training),
            }
            yield TrialSpec(
                trial_id=content_id(identity),
                cell_id=cell_identity(identity, base),
                seed=seed,
                depends_on=depends_on,
                **_draw_fields(draw),
                **shared,
            )


def group_searches(group: Group, trials: Iterable[TrialSpec], starts: Mapping[int, TrialSpec]) -> Iterator[CellSearch]:
    """The search of each cell of a group, given its planned trials; none where every trial is planned."""
    if group.method.trials == 1 or not group.method.space:
        return
    shared = _identity(group, _shared_fields(group))
    for first in trials:
        depends_on = (starts[first.seed].trial_id,) if starts else ()
        yield CellSearch(
            cell_id=first.cell_id,
            trials=group.method.trials,
            space=group.method.space,
            identity=json.loads(canonical_json({**shared, **_start_identity(group, depends_on), "seed": first.seed})),
        )


def _start_identity(group: Group, depends_on: Sequence[str]) -> dict[str, Any]:
    if isinstance(group.method.start, GivenStart):
        return {"starts_from": group.method.start.identity()}
    return {"starts_from": list(depends_on)} if depends_on else {}


def _draw_fields(draw: TrialDraw) -> dict[str, Any]:
    return {"trial": draw.index, "hp": dict(draw.hp), "training": dict(draw.training)}


def _identity(group: Group, shared: Mapping[str, Any]) -> dict[str, Any]:
    """What training depends on, the seed and the drawn values apart."""
    return {
        "method": shared["method"],
        "sources": list(shared["sources"]),
        "recipe_version": shared["recipe_version"],
        "setting": asdict(shared["setting"]),
        "network": shared["network"],
        "network_recipe": shared["network_recipe"],
        "network_options": shared["network_options"],
        **_unlabelled_identity(group),
        **({"inner": True} if group.side == "inner" else {}),
        "fold": shared["fold"],
        "budget": shared["budget_steps"],
        "preprocessing": grid_content(shared["preprocessing"]),
        "train": shared["train_sha"],
    }


def _unlabelled_identity(group: Group) -> dict[str, Any]:
    if group.method.unlabelled == "none":
        return {}
    training = resolved_training(group.config.training, group.config.budget.steps)
    return {"unlabelled_batch": training["unlabelled_batch"]}


def _shared_fields(group: Group) -> dict[str, Any]:
    """Fields of TrialSpec that all trials of the group share."""
    return {**_what(group), **_where(group), **_how(group)}


def _what(group: Group) -> dict[str, Any]:
    method, network = group.method.declaration, group.network.declaration
    return {
        "sweep": group.config.name,
        "method": method.name,
        "recipe_version": method.recipe_version,
        "setting": Setting(
            variant=group.method.variant,
            label_ratio=group.row.label_ratio,
            unlabelled=group.method.unlabelled,
            init_from=group.method.start.label if group.method.start else None,
        ),
        "network": network.name,
        "network_recipe": network.recipe_version,
        "network_options": dict(group.network.options),
        "panel": group.side or _panel(group),
        "given": group.method.start.document() if isinstance(group.method.start, GivenStart) else {},
    }


def _panel(group: Group) -> Panel:
    """Where its rows stand: by what its training, and what it starts from, is shown of target domains."""
    start, row, factors = group.method.start, group.row, group.config.protocol.factors
    targets = set(row.split.targets) - set(row.split.sources)
    shown = [*row.cases.unlabelled, *(row.pretraining[start.data] if isinstance(start, Start) else ())]
    sees_targets = any(case.domain(factors) in targets for case in shown)
    own = panel_of(group.method.declaration.requires, sees_targets=sees_targets)
    before = panel_of_start(start, targets) if isinstance(start, GivenStart) else "main"
    return max(own, before, key=("main", "transductive", "oracle").index)


def _where(group: Group) -> dict[str, Any]:
    row, factors = group.row, group.config.protocol.factors
    roles = ("train", "val", "test", "target", "unlabelled")
    members: dict[str, Sequence[CaseInfo]] = {role: getattr(row.cases, role) for role in roles}
    return {
        "sources": _sorted(row.split, "sources"),
        "targets": _sorted(row.split, "targets"),
        "sources_label": row.split.label,
        "fold": row.fold,
        "split": Split(**{role: tuple(case.case_id for case in cases) for role, cases in members.items()}),
        "domains": {case.case_id: case.domain(factors) for cases in members.values() for case in cases},
        "train_sha": train_fingerprint(row.cases, factors),
    }


def _sorted(split: DomainSplit, side: str) -> tuple[str, ...]:
    return tuple(sorted(split.sources if side == "sources" else split.targets))


def _how(group: Group) -> dict[str, Any]:
    config, cases, grid, scoring = group.config, group.row.cases, group.grid, scoring_sections(group.config)
    return {
        "preprocessing": grid,
        "budget_steps": config.budget.steps,
        "output_keep": config.output_keep,
        "score_shas": score_fingerprints(cases, grid, scoring, config.protocol.factors),
        **scoring,
    }
