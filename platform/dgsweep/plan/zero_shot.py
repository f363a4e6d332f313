"""Cells of methods that are not trained: once a fold, on every case that any trained method is scored on there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dgsweep.config.prompt_protocol import Protocol, parse_protocol
from dgsweep.config.schema import SweepConfig
from dgsweep.errors import Problems
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.draws import MethodEntry, TrialDraw
from dgsweep.plan.existing import KnownWeights
from dgsweep.plan.identity import score_fingerprints
from dgsweep.plan.recipe import resolved_training
from dgsweep.plan.roles import TrialCases
from dgsweep.plan.rows import SourceRow
from dgsweep.plan.trial import Panel, Preprocessing, Setting, Split, TrialSpec, content_id

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
    if protocol.name == "predicted_box":
        problems.add(where, "this version has no predicted_box yet", "choose another protocol")
    elif protocol.rule not in taken:
        problems.add(where, f"{method} does not take {protocol.label}", f"it takes {', '.join(taken)}")


def zero_shot_trials(
    config: SweepConfig,
    labels: Mapping[str, int],
    rows: Sequence[SourceRow],
    entries: Sequence[MethodEntry],
    known: Mapping[str, KnownWeights],
) -> Iterator[TrialSpec]:
    """The trials of every method that is not trained."""
    factors = config.protocol.factors
    for fold in dict.fromkeys(row.fold for row in rows):
        cases = _scored([row for row in rows if row.fold == fold], factors)
        for entry in (entry for entry in entries if not entry.declaration.requires.trainable):
            for protocol in _protocols(config, entry):
                for seed in config.seeds if protocol and protocol.random else config.seeds[:1]:
                    for draw in entry.draws:
                        sha = known[str(draw.hp[WEIGHTS])].sha256 if WEIGHTS in draw.hp else ""
                        case_set = _CaseSet(cases=cases, fold=fold, labels=labels)
                        yield _trial(config, entry, draw, protocol, case_set, seed=seed, weights_sha=sha)


def _scored(rows: Sequence[SourceRow], factors: tuple[str, ...]) -> tuple[CaseInfo, ...]:
    found = {case.case_id: case for row in rows for case in (*row.cases.test, *row.cases.target)}
    return tuple(sorted(found.values(), key=lambda case: (case.domain(factors), case.case_id)))


def _protocols(config: SweepConfig, entry: MethodEntry) -> list[Protocol | None]:
    if entry.declaration.requires.prompts == "none":
        return [None]
    names = entry.prompts or config.prompts.protocols
    return [parse_protocol(name) for name in dict.fromkeys(names)]


@dataclass(frozen=True, kw_only=True)
class _CaseSet:
    cases: tuple[CaseInfo, ...]
    fold: int
    labels: Mapping[str, int]


def _trial(
    config: SweepConfig,
    entry: MethodEntry,
    draw: TrialDraw,
    protocol: Protocol | None,
    case_set: _CaseSet,
    *,
    seed: int,
    weights_sha: str,
) -> TrialSpec:
    declaration, factors = entry.declaration, config.protocol.factors
    setting = Setting(variant=entry.variant, prompt=protocol.label if protocol else None)
    identity = {
        "zero_shot": declaration.name,
        "recipe_version": declaration.recipe_version,
        "variant": entry.variant,
        "prompt": setting.prompt,
        "weights": weights_sha,
        "labels": [list(item) for item in case_set.labels.items()],
        "fold": case_set.fold,
        "seed": seed if protocol and protocol.random else 0,
    }
    domains = {case.case_id: case.domain(factors) for case in case_set.cases}
    grid = Preprocessing(spacing_mm=_WHOLE, patch=(0, 0, 0), labels=dict(case_set.labels), normalisation="own")
    scoring = {"inference": config.inference.model_dump(mode="json"), "metrics": config.metrics.model_dump(mode="json")}
    cases = TrialCases(train=(), val=(), test=(), target=case_set.cases)
    return TrialSpec(
        trial_id=content_id({**identity, "hp": draw.hp}),
        cell_id=content_id(identity),
        sweep=config.name,
        method=declaration.name,
        recipe_version=declaration.recipe_version,
        setting=setting,
        hp=dict(draw.hp),
        network=str(draw.hp.get(WEIGHTS, "none")),
        network_recipe=1,
        network_options={},
        sources=(),
        targets=tuple(sorted(set(domains.values()))),
        sources_label=NO_SOURCE,
        fold=case_set.fold,
        seed=seed,
        trial=draw.index,
        budget_steps=0,
        preprocessing=grid,
        training=resolved_training(config.training, 1),
        output_keep=config.output_keep,
        split=Split(train=(), val=(), test=(), target=tuple(case.case_id for case in case_set.cases)),
        domains=domains,
        score_shas=score_fingerprints(cases, grid, scoring, factors),
        train_sha="",
        panel=_panel(protocol, declaration.requires.reads_target),
        phase="zero_shot",
        inference=scoring["inference"],
        metrics=scoring["metrics"],
    )


def _panel(protocol: Protocol | None, reads_target: bool) -> Panel:
    return "oracle" if reads_target or (protocol and protocol.oracle) else "main"
