"""Tables over the trials of a plan, read from the ledger's files."""

from collections.abc import Iterable, Sequence

import pandas as pd

from dgsweep.plan.trial import TrialSpec
from dgsweep.records.atomic import RecordError
from dgsweep.records.columns import CASE_SCHEMA, CURVE_SCHEMA, empty_rows, read_rows
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


def curves_of(paths: TrialPaths) -> pd.DataFrame:
    """Curves of one trial with its id in front; no row when they cannot be read."""
    try:
        rows = read_rows(paths.curves)
    except RecordError:
        return no_curves()
    rows.insert(0, "trial_id", paths.root.name)
    return rows


def join(parts: Iterable[pd.DataFrame], *, empty: pd.DataFrame) -> pd.DataFrame:
    """Put tables below each other; `empty` when there is no row."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else empty


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
