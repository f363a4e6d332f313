"""Tables over the trials of a plan, read from the ledger's files."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from dgsweep.plan.trial import TrialSpec
from dgsweep.records.atomic import RecordError
from dgsweep.records.columns import (
    CASE_SCHEMA,
    CURVE_SCHEMA,
    as_coded_frame,
    as_frame,
    empty_rows,
    in_sorted_categories,
    read_table,
)
from dgsweep.records.paths import TrialPaths
from dgsweep.records.state import TrialStatus

STATE_COLUMNS = (
    *("trial_id", "cell_id", "name", "method", "setting", "network", "sources", "fold", "seed", "trial"),
    *("state", "cause", "phase", "step", "steps", "scored", "to_score", "unscored"),
)
"""`scored` of `to_score`: cases, those of a running trial included; `unscored`: wanted cases without a valid score."""


def no_cases() -> pd.DataFrame:
    """No row, with the columns of cases.parquet."""
    return empty_rows(CASE_SCHEMA)


def no_curves() -> pd.DataFrame:
    """No row, with `trial_id` and the columns of curves.parquet."""
    frame = empty_rows(CURVE_SCHEMA)
    frame.insert(0, "trial_id", pd.Series(dtype="str"))
    return frame


def for_spec(rows: pd.DataFrame, spec: TrialSpec, case_ids: Sequence[str]) -> pd.DataFrame:
    """Rows of the given cases, with what the plan may name anew without a new training (trial number, panel)."""
    kept = rows[rows["case_id"].isin(case_ids)].reset_index(drop=True)
    return kept.assign(trial=spec.trial, panel=spec.panel)


def scores_of(specs: Sequence[TrialSpec], tables: Sequence[pa.Table], *, coded: bool = False) -> pd.DataFrame:
    """Rows of the wanted cases of done trials, in the order of the trials, named as their plan names them now.

    With `coded` text is sorted categories.
    """
    if not specs:
        return no_cases()
    rows = as_coded_frame(tables) if coded else as_frame(tables)
    wanted = pd.Series(False, index=rows.index)
    for case_ids, trial_ids in _by_cases(specs):
        wanted |= rows["trial_id"].isin(trial_ids) & rows["case_id"].isin(case_ids)
    kept = rows if wanted.all() else rows[wanted].reset_index(drop=True)
    codes, ids = pd.factorize(kept["trial_id"])
    known = {spec.trial_id: spec for spec in specs}
    found = [known[str(trial_id)] for trial_id in ids]
    trials = np.array([spec.trial for spec in found], dtype=np.int64)[codes]
    panels = pd.Series([str(spec.panel) for spec in found], dtype="category" if coded else "str").take(codes)
    named = kept.assign(trial=trials, panel=panels.array)
    return in_sorted_categories(named) if coded else named


def _by_cases(specs: Sequence[TrialSpec]) -> list[tuple[list[str], list[str]]]:
    """Case ids, and the trials that are scored on them."""
    sets: dict[int, frozenset[str]] = {}  # trials of one plan share their tables, which are long
    groups: dict[frozenset[str], list[str]] = {}
    for spec in specs:
        case_ids = sets.setdefault(id(spec.score_shas), frozenset(spec.score_shas))
        groups.setdefault(case_ids, []).append(spec.trial_id)
    return [(list(case_ids), trial_ids) for case_ids, trial_ids in groups.items()]


def spec_of(trial_id: str, read: Callable[[str], TrialSpec | None]) -> TrialSpec | None:
    """What `read` says of a trial; None when it cannot be read."""
    try:
        return read(trial_id)
    except (RecordError, KeyError, TypeError, ValueError):
        return None


def curves_or_none(paths: TrialPaths) -> pa.Table | None:
    """Points of one trial; None where they cannot be read."""
    try:
        return read_table(paths.curves)
    except RecordError:
        return None


def curves_of(tables: Mapping[str, pa.Table], *, coded: bool = False) -> pd.DataFrame:
    """Curves of many trials by id, `trial_id` in front; with `coded` text is sorted categories."""
    filled = {trial_id: table for trial_id, table in tables.items() if len(table)}
    if not filled:
        return no_curves()
    parts = list(filled.values())
    frame = as_coded_frame(parts) if coded else as_frame(parts)
    places = np.repeat(np.arange(len(parts)), [len(table) for table in parts])
    names = pd.Series(list(filled), dtype="category" if coded else "str").take(places)
    frame.insert(0, "trial_id", names.reset_index(drop=True))
    return in_sorted_categories(frame) if coded else frame


def states_frame(found: Iterable[tuple[TrialSpec, TrialStatus]]) -> pd.DataFrame:
    """One row per trial with its state: STATE_COLUMNS."""
    return pd.DataFrame([_state_row(spec, status) for spec, status in found], columns=list(STATE_COLUMNS))


def _state_row(spec: TrialSpec, status: TrialStatus) -> dict[str, object]:
    return {
        "trial_id": spec.trial_id,
        "cell_id": spec.cell_id,
        "name": spec.name,
        "method": spec.method,
        "setting": spec.setting.label(),
        "network": spec.network,
        "sources": "+".join(sorted(spec.sources)),
        "fold": spec.fold,
        "seed": spec.seed,
        "trial": spec.trial,
        "state": status.state.value,
        "cause": status.cause,
        "phase": str(status.progress.get("phase", "")),
        "step": int(status.progress.get("step", 0)),
        "steps": int(status.progress.get("steps", spec.budget_steps)),
        "scored": int(status.progress.get("scored", len(spec.score_shas) - len(status.unscored))),
        "to_score": len(spec.score_shas),
        "unscored": len(status.unscored),
    }
