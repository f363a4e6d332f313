"""Pretraining: a trial of its own, shared by every trial that starts from it, on images of training patients only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgsweep.config.declaration import MethodDeclaration
from dgsweep.config.names import name_advice
from dgsweep.config.schema import MethodConfig, Pool, SweepConfig
from dgsweep.errors import Problems
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.given import GivenStart, GivenTrial
from dgsweep.plan.grid import NetworkEntry
from dgsweep.plan.hyperparameters import resolve_values
from dgsweep.plan.identity import grid_content, image_fingerprint, learning_keys
from dgsweep.plan.recipe import resolved_training, scoring_sections
from dgsweep.plan.trial import Preprocessing, Setting, Split, TrialSpec, content_id


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a method's training starts from."""

    declaration: MethodDeclaration
    hp: Mapping[str, Any]
    data: Pool

    @property
    def label(self) -> str:
        """Short text for tables."""
        return f"{self.declaration.name} on {'sources' if self.data == 'source' else 'all scans'}"


def start_of(
    wanted: MethodConfig,
    methods: Mapping[str, MethodDeclaration],
    trials: Mapping[str, GivenTrial],
    where: str,
    problems: Problems,
) -> Start | GivenStart | None:
    """What the method is to start from, None where its weights are random; what is wrong is noted in `problems`.

    `trials` is folder -> the finished trial in it.
    """
    if wanted.init_from is None:
        return None
    if wanted.init_from.trial is not None:
        return GivenStart(trial=trials[wanted.init_from.trial], head=wanted.init_from.head)
    name, place = str(wanted.init_from.name), f"{where}.init_from"
    known = {key: item for key, item in methods.items() if item.requires.phase == "pretrain"}
    if name not in known:
        found = f"{name!r} is no pretraining method" if name in methods else f"no method {name!r}"
        problems.add(f"{place}.name", found, name_advice(name, known))
        return None
    declaration = known[name]
    hp = resolve_values(declaration.hyperparameters, wanted.init_from.hp, f"{place}.hp", problems)
    return Start(declaration=declaration, hp=hp, data=wanted.init_from.data)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a pretraining has in common with the trials that start from it."""

    network: NetworkEntry
    preprocessing: Preprocessing
    fold: int
    seed: int
    sources_label: str


def pretraining(start: Start, cases: Sequence[CaseInfo], config: SweepConfig, stage: Stage) -> TrialSpec:
    """The trial that pretrains on some images; equal content gives the same trial, whoever starts from it."""
    factors, steps = config.protocol.factors, config.budget.pretrain_steps or config.budget.steps
    training, scoring = resolved_training(config.training, steps), scoring_sections(config)
    sha = image_fingerprint(cases, factors)
    name = content_id(_identity(start, stage, training, steps) | {"images": sha})
    return TrialSpec(
        trial_id=name,
        cell_id=name,
        sweep=config.name,
        method=start.declaration.name,
        recipe_version=start.declaration.recipe_version,
        setting=Setting(),
        hp=dict(start.hp),
        network=stage.network.declaration.name,
        network_recipe=stage.network.declaration.recipe_version,
        network_options=dict(stage.network.options),
        sources=tuple(sorted({case.domain(factors) for case in cases})),
        targets=(),
        sources_label="all scans" if start.data == "all_unlabelled" else stage.sources_label,
        fold=stage.fold,
        seed=stage.seed,
        trial=0,
        budget_steps=steps,
        preprocessing=stage.preprocessing,
        training=training,
        output_keep="none",
        split=Split(train=(), val=(), test=(), target=(), unlabelled=tuple(case.case_id for case in cases)),
        domains={case.case_id: case.domain(factors) for case in cases},
        score_shas={},
        train_sha=sha,
        inference=scoring["inference"],
        metrics=scoring["metrics"],
        phase="pretrain",
    )


def _identity(start: Start, stage: Stage, training: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """What pretraining depends on, its images apart."""
    return {
        "pretraining": start.declaration.name,
        "recipe_version": start.declaration.recipe_version,
        "hp": dict(start.hp),
        "network": stage.network.declaration.name,
        "network_recipe": stage.network.declaration.recipe_version,
        "network_options": dict(stage.network.options),
        "budget": steps,
        "training": learning_keys(training),
        "preprocessing": grid_content(stage.preprocessing),
        "seed": stage.seed,
    }
