"""What the search of a cell showed: Optuna's own figures, over trials rebuilt from the ledger's records."""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import pandas as pd
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState, create_trial

from dgsweep.analysis.frames import arm_name
from dgsweep.analysis.selection import mean_dice
from dgsweep.config.search_space import TRAINING_PREFIX
from dgsweep.plan.trial import TrialSpec
from dgsweep.report.evidence import Evidence
from dgsweep.report.figures import Figure, figure_json
from dgsweep.report.texts import count, method_name, number

LEAST_FOR_IMPORTANCE = 10
"""Below so many trials an importance is noise: Optuna's random forest has too little to split."""
MOST_CELLS = 24
"""Cells that are drawn; the page stays of a size that opens."""
LOG_SPAN = 50.0
"""A positive value that spans more than this factor is put on a logarithmic axis."""
TARGET = "Dice in source validation"


@dataclass(frozen=True, kw_only=True)
class SearchedCell:
    """One cell with several trials. `sentence` says what cannot be drawn, and why."""

    title: str
    figures: tuple[Figure, ...]
    sentence: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Trial, Dice, values of `columns`; the best first."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What the page shows of all searches."""

    cells: tuple[SearchedCell, ...]
    sentence: str


def searched(evidence: Evidence) -> Searched:
    """The first fold and seed of every method, network and source set whose cell has several trials."""
    groups: dict[str, list[TrialSpec]] = {}
    for spec in evidence.plan.trials:
        groups.setdefault(spec.cell_id, []).append(spec)
    several = [specs for specs in groups.values() if len(specs) > 1]
    if not several:
        return Searched(cells=(), sentence="Each cell has one trial, the defaults: nothing was searched.")
    first: dict[tuple[str, str, str], list[TrialSpec]] = {}
    for specs in sorted(several, key=lambda specs: (specs[0].fold, specs[0].seed)):
        first.setdefault((arm_name(specs[0]), specs[0].network, specs[0].sources_label), specs)
    scores = mean_dice(evidence.cases, evidence.curves, "val")
    drawn = list(first.values())[:MOST_CELLS]
    cells = tuple(_cell(f"search-{i}", specs, scores, evidence) for i, specs in enumerate(drawn))
    said = f"{count(len(several), 'cell')} of {len(groups)} have several trials; "
    said += (
        f"shown: the first fold and seed of {len(drawn)} of {len(first)} combinations of method, network and sources."
    )
    return Searched(cells=cells, sentence=said)


def varied(specs: Sequence[TrialSpec]) -> dict[str, list[Any]]:
    """Hyperparameter (or `training.<field>`) -> its value in each trial, where the trials differ."""
    rows = [{**spec.hp, **{TRAINING_PREFIX + name: value for name, value in spec.training.items()}} for spec in specs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = {name: [row.get(name) for row in rows] for name in names}
    return {name: found for name, found in values.items() if len({json.dumps(one) for one in found}) > 1}


def study_of(params: Mapping[str, Sequence[Any]], dice: Sequence[float]) -> optuna.Study:
    """A study in memory: one complete trial for each Dice, higher is better.

    Distributions span the values that were tried: the report knows no others.
    """
    spaces = {name: _distribution(values) for name, values in params.items()}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    optuna.logging.set_verbosity(before)
    for index, value in enumerate(dice):
        own = {name: _coded(values[index], spaces[name]) for name, values in params.items()}
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=value, params=own, distributions=spaces))
    return study


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return CategoricalDistribution(sorted({json.dumps(value) for value in values}))
    low, high = min(values), max(values)
    log = low > 0 and high / low > LOG_SPAN
    if all(isinstance(value, int) for value in values):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _coded(value: Any, space: BaseDistribution) -> Any:
    if isinstance(space, CategoricalDistribution):
        return json.dumps(value)
    return float(value) if isinstance(space, FloatDistribution) else value


def _cell(key: str, specs: Sequence[TrialSpec], scores: Mapping[str, float], evidence: Evidence) -> SearchedCell:
    done = [spec for spec in specs if math.isfinite(scores.get(spec.trial_id, math.nan)) and _ended(spec, evidence)]
    params = varied(done)
    dice = [scores[spec.trial_id] for spec in done]
    name = method_name(arm_name(specs[0]), specs[0].network, several_networks=evidence.several_networks)
    asked = len(specs) + evidence.plan.to_propose.get(specs[0].cell_id, 0)
    figures, why = _drawn(key, f"{name} on {specs[0].sources_label}", params, dice)
    return SearchedCell(
        title=f"{name}, trained on {specs[0].sources_label} (fold {specs[0].fold}, seed {specs[0].seed})",
        figures=tuple(figures),
        sentence=f"{len(done)} of {count(asked, 'trial')} ran to the end and have a source validation. {why}".strip(),
        columns=tuple(params),
        rows=tuple(_rows(done, params, dice)),
    )


def _ended(spec: TrialSpec, evidence: Evidence) -> bool:
    found = evidence.provenance.get(spec.trial_id)
    return found is not None and not found.get("pruned")


def _drawn(key: str, name: str, params: Mapping[str, Sequence[Any]], dice: Sequence[float]) -> tuple[list[Figure], str]:
    """Figures, and the sentence on what is not drawn."""
    if len(dice) < 2:
        return [], "One trial shows nothing about hyperparameters."
    if not params:
        return [], "Their hyperparameters are all the same."
    study = study_of(params, dice)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        parallel = optuna.visualization.plot_parallel_coordinate(study, target_name=TARGET)
        figures = [_figure(f"{key}-parallel", f"{name}: each line is a trial", parallel, len(dice))]
        if why := _no_importance(params, dice):
            return figures, why
        evaluator = FanovaImportanceEvaluator(seed=0)
        bars = optuna.visualization.plot_param_importances(study, evaluator=evaluator, target_name=TARGET)
    figures.append(_figure(f"{key}-importance", f"{name}: share of the variance of Dice (fANOVA)", bars, len(dice)))
    return (
        figures,
        "Importances are of the values that were tried, by a random forest: rough below dozens of trials.",
    )


def _no_importance(params: Mapping[str, Sequence[Any]], dice: Sequence[float]) -> str:
    if len(dice) < LEAST_FOR_IMPORTANCE:
        return f"Too few for importances: {LEAST_FOR_IMPORTANCE} trials are the least, here {len(dice)}."
    if len(params) < 2:
        return "One hyperparameter was searched, so there is nothing to share the importance with."
    if max(dice) - min(dice) < 1e-9:
        return "All trials have the same Dice, so no hyperparameter can explain a difference."
    return ""


def _figure(key: str, title: str, figure: go.Figure, trials: int) -> Figure:
    figure.update_layout(title=None)
    described = f"{count(trials, 'trial')}; the same numbers stand in the table below."
    return Figure(key=key, title=title, description=described, json=figure_json(figure))


def _rows(
    done: Sequence[TrialSpec], params: Mapping[str, Sequence[Any]], dice: Sequence[float]
) -> Iterator[tuple[str, ...]]:
    for place in sorted(range(len(done)), key=lambda place: (-dice[place], done[place].trial)):
        default = " (defaults)" if done[place].trial == 0 else ""
        values = (_shown(values[place]) for values in params.values())
        yield f"{done[place].trial}{default}", number(dice[place]), *values


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def searched_table(found: Searched) -> pd.DataFrame:
    """Every trial that is shown, one row a hyperparameter: cell, trial, dice, name, value."""
    rows = [
        {"cell": cell.title, "trial": row[0], "dice": row[1], "hyperparameter": name, "value": value}
        for cell in found.cells
        for row in cell.rows
        for name, value in zip(cell.columns, row[2:], strict=True)
    ]
    return pd.DataFrame(rows, columns=["cell", "trial", "dice", "hyperparameter", "value"])
