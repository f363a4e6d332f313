"""Cells of methods that are not trained: once a fold, on every case that any trained method is scored on there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgsweep.config.prompt_protocol import Protocol, parse_protocol
from dgsweep.config.schema import SweepConfig
from dgsweep.errors import Problems
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.draws import MethodEntry, TrialDraw
from dgsweep.plan.existing import KnownWeights
from dgsweep.plan.identity import score_fingerprints
from dgsweep.plan.recipe import resolved_training, scoring_sections
from dgsweep.plan.roles import TrialCases
from dgsweep.plan.rows import SourceRow
from dgsweep.plan.trial import BASELINE, Panel, Preprocessing, Setting, Split, TrialSpec, content_id

WEIGHTS = "weights"
"""Hyperparameter that names registered weights."""
NO_SOURCE = "nothing (zero-shot)"
_WHOLE = (0.0, 0.0, 0.0)


def check_weights(entries: Sequence[MethodEntry], known: Mapping[str, KnownWeights], problems: Problems) -> None:
    """Note every method whose weights are not registered, or are those of another family."""
    for entry in entries:
        for name in dict.fromkeys(str(draw.hp[WEIGHTS]) for draw in entry.draws if WEIGHTS in draw.hp):
            where, method = f"weights of {entry.declaration.name}", entry.declaration.name
            if name not in known:
                have = ", ".join(sorted(one for one, item in known.items() if item.family == method)) or "none yet"
                advice = f"dgsweep weights add {name} FILE; registered for {method}: {have}"
                problems.add(where, f"no weights {name!r} are registered on this machine", advice)
            elif known[name].family != method:
                found = f"{name!r} are weights of {known[name].family}"
                problems.add(where, found, f"name the method {known[name].family}, or other weights")


def check_protocols(entries: Sequence[MethodEntry], config: SweepConfig, problems: Problems) -> None:
    """Note every prompt protocol that a promptable method does not take, and prompts for one that takes none."""
    for index, wanted in enumerate(config.methods):
        declared = {entry.declaration.name: entry.declaration.requires for entry in entries}.get(wanted.name)
        if declared is None or (declared.trainable and declared.prompts != "none"):
            continue
        where = f"methods.{index}.prompts"
        if declared.prompts == "none":
            if wanted.prompts:
                problems.add(where, f"{wanted.name} takes no prompts", "leave it out")
            continue
        for text in wanted.prompts or config.prompts.protocols:
            _check_protocol(wanted.name, text, declared.protocols, where, problems)


def _check_protocol(method: str, text: str, taken: tuple[str, ...], where: str, problems: Problems) -> None:
    protocol = parse_protocol(text)
    if protocol.rule not in taken:
        problems.add(where, f"{method} does not take {protocol.label}", f"it takes {', '.join(taken)}")


def zero_shot_trials(
    config: SweepConfig,
    labels: Mapping[str, int],
    rows: Sequence[SourceRow],
    entries: Sequence[MethodEntry],
    known: Mapping[str, KnownWeights],
    trained: Sequence[TrialSpec],
) -> Iterator[TrialSpec]:
    """The trials of every method that is not trained.

    Boxes that are predicted come from a trained method, ERM where it is in the sweep: one trial beside each of its own.
    """
    factors = config.protocol.factors
    untrained = [entry for entry in entries if not entry.declaration.requires.trainable]
    for fold in dict.fromkeys(row.fold for row in rows):
        cases = _scored([row for row in rows if row.fold == fold], factors)
        for entry, draw, protocol in _asked(config, untrained):
            if protocol is None or protocol.oracle:
                for seed in config.seeds if protocol and protocol.random else config.seeds[:1]:
                    ground = _on_all(cases, fold, seed, factors)
                    yield _trial(config, labels, _Asked(entry, draw, protocol, _weights_sha(draw, known)), ground)
    for entry, draw, protocol in _asked(config, untrained):
        if protocol and not protocol.oracle:
            for leader in _leaders(trained):
                ground = _beside(leader, rows, factors)
                yield _trial(config, labels, _Asked(entry, draw, protocol, _weights_sha(draw, known)), ground)


def _asked(
    config: SweepConfig, entries: Sequence[MethodEntry]
) -> Iterator[tuple[MethodEntry, TrialDraw, Protocol | None]]:
    for entry in entries:
        for protocol in _protocols(config, entry):
            for draw in entry.draws:
                yield entry, draw, protocol


def _protocols(config: SweepConfig, entry: MethodEntry) -> list[Protocol | None]:
    if entry.declaration.requires.prompts == "none":
        return [None]
    names = entry.prompts or config.prompts.protocols
    return [parse_protocol(name) for name in dict.fromkeys(names)]


def _weights_sha(draw: TrialDraw, known: Mapping[str, KnownWeights]) -> str:
    return known[str(draw.hp[WEIGHTS])].sha256 if WEIGHTS in draw.hp else ""


def _leaders(trained: Sequence[TrialSpec]) -> list[TrialSpec]:
    """Trials whose predictions give the boxes: the defaults of ERM, else of the method that comes first."""
    names = [spec.method for spec in trained]
    chosen = BASELINE if BASELINE in names else next(iter(names), "")
    return [spec for spec in trained if spec.method == chosen and spec.trial == 0 and not spec.setting.init_from]


@dataclass(frozen=True)
class _Asked:
    """What is predicted with."""

    entry: MethodEntry
    draw: TrialDraw
    protocol: Protocol | None
    weights_sha: str


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """What it is predicted on, and where the row stands."""

    cases: TrialCases
    fold: int
    seed: int
    domains: Mapping[str, str]
    sources: tuple[str, ...] = ()
    sources_label: str = NO_SOURCE
    label_ratio: float = 1.0
    leader: TrialSpec | None = None


def _scored(rows: Sequence[SourceRow], factors: tuple[str, ...]) -> tuple[CaseInfo, ...]:
    found = {case.case_id: case for row in rows for case in (*row.cases.test, *row.cases.target)}
    return tuple(sorted(found.values(), key=lambda case: (case.domain(factors), case.case_id)))


def _on_all(cases: tuple[CaseInfo, ...], fold: int, seed: int, factors: tuple[str, ...]) -> _Ground:
    """Every case that any trained method is scored on in the fold, as targets: there is no source."""
    domains = {case.case_id: case.domain(factors) for case in cases}
    scored = TrialCases(train=(), val=(), test=(), target=cases)
    return _Ground(cases=scored, fold=fold, seed=seed, domains=domains)


def _beside(leader: TrialSpec, rows: Sequence[SourceRow], factors: tuple[str, ...]) -> _Ground:
    """The cases that a trained trial is scored on, in their roles."""
    every = {case.case_id: case for row in rows for case in row.cases.scored()}
    test = tuple(every[name] for name in leader.split.test)
    target = tuple(every[name] for name in leader.split.target)
    return _Ground(
        cases=TrialCases(train=(), val=(), test=test, target=target),
        fold=leader.fold,
        seed=leader.seed,
        domains={case.case_id: case.domain(factors) for case in (*test, *target)},
        sources=leader.sources,
        sources_label=leader.sources_label,
        label_ratio=leader.setting.label_ratio,
        leader=leader,
    )


def _trial(config: SweepConfig, labels: Mapping[str, int], asked: _Asked, ground: _Ground) -> TrialSpec:
    declaration, protocol, leader = asked.entry.declaration, asked.protocol, ground.leader
    setting = Setting(
        variant=asked.entry.variant, label_ratio=ground.label_ratio, prompt=protocol.label if protocol else None
    )
    identity = _identity(labels, asked, ground)
    grid = Preprocessing(spacing_mm=_WHOLE, patch=(0, 0, 0), labels=dict(labels), normalisation="own")
    scoring = scoring_sections(config)
    ids = {role: tuple(case.case_id for case in getattr(ground.cases, role)) for role in ("test", "target")}
    return TrialSpec(
        trial_id=content_id({**identity, "hp": asked.draw.hp}),
        cell_id=content_id(identity),
        sweep=config.name,
        method=declaration.name,
        recipe_version=declaration.recipe_version,
        setting=setting,
        hp=dict(asked.draw.hp),
        network=leader.network if leader else str(asked.draw.hp.get(WEIGHTS, "none")),
        network_recipe=1,
        network_options={},
        sources=ground.sources,
        targets=leader.targets if leader else tuple(sorted(set(ground.domains.values()))),
        sources_label=ground.sources_label,
        fold=ground.fold,
        seed=ground.seed,
        trial=asked.draw.index,
        budget_steps=0,
        preprocessing=grid,
        training=resolved_training(config.training, 1),
        inference=scoring["inference"],
        metrics=scoring["metrics"],
        output_keep=config.output_keep,
        split=Split(train=(), val=(), **ids),
        domains=ground.domains,
        score_shas=score_fingerprints(ground.cases, grid, scoring, config.protocol.factors),
        train_sha="",
        panel=_panel(asked, leader),
        phase="zero_shot",
        depends_on=(leader.trial_id,) if leader else (),
    )


def _identity(labels: Mapping[str, int], asked: _Asked, ground: _Ground) -> dict[str, Any]:
    declaration, protocol = asked.entry.declaration, asked.protocol
    return {
        "zero_shot": declaration.name,
        "recipe_version": declaration.recipe_version,
        "variant": asked.entry.variant,
        "prompt": protocol.label if protocol else None,
        "weights": asked.weights_sha,
        "labels": [list(item) for item in labels.items()],
        "fold": ground.fold,
        "seed": ground.seed if protocol and protocol.random else 0,
        "boxes_from": ground.leader.trial_id if ground.leader else "",
    }


def _panel(asked: _Asked, leader: TrialSpec | None) -> Panel:
    if asked.entry.declaration.requires.reads_target or (asked.protocol and asked.protocol.oracle):
        return "oracle"
    return leader.panel if leader else "main"
