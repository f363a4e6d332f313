"""What the report adds to MLflow: page and tables at the sweep's run, pictures at the runs of selected trials."""

import base64
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from dgsweep.analysis.selection import select
from dgsweep.config.schema import TrackingConfig
from dgsweep.records.mlflow_store import is_remote
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.report.evidence import Evidence
from dgsweep.report.overlays import draw, volumes_of
from dgsweep.storage.files import exists
from dgsweep.storage.place import AnyPath

MOST_RUNS = 60
"""Runs that get pictures; drawing takes a tenth of a second each."""


def publish(evidence: Evidence, page: AnyPath, tracking: TrackingConfig, *, sweep: str) -> None:
    """Copy the report's page and tables to the sweep's run, and draw best, median and worst case of selected trials.

    Pictures of patients go to a server only with `tracking.pictures`; to a database on this machine they go unless it
    is false. Never raises for MLflow: it warns once.
    """
    if not isinstance(page, Path):
        return  # a report in an object store is shared already
    with_pictures = not is_remote(tracking.uri) if tracking.pictures is None else tracking.pictures
    view = MlflowView(tracking.uri, tracking.experiment or sweep, evidence.ledger.output)
    tables = page.parent / "tables"
    view.artifacts([*([page] if with_pictures else []), *([tables] if tables.is_dir() else [])])
    if with_pictures:
        rule = evidence.rules[0]
        chosen = select(rule, evidence.plan, evidence.cases, evidence.curves)
        for trial_id in list(chosen.values())[:MOST_RUNS]:
            view.pictures(evidence.specs[trial_id], rule, partial(pictures_of, trial_id, evidence))


def pictures_of(trial_id: str, evidence: Evidence) -> dict[str, bytes]:
    """File name and PNG of the best, median and worst case whose mask was kept: of targets, else in-domain."""
    rows = evidence.cases[(evidence.cases["trial_id"] == trial_id) & ~evidence.cases["empty_reference"].astype(bool)]
    for role in ("target", "in_domain"):
        dice = rows[rows["role"] == role].groupby("case_id", observed=True)["dice"].mean().sort_values()
        kept = dice[[exists(evidence.ledger.paths(trial_id).prediction(str(case))) for case in dice.index]]
        if len(kept):
            return dict(_extremes(trial_id, kept, evidence))
    return {}


def _extremes(trial_id: str, dice: pd.Series, evidence: Evidence) -> Iterator[tuple[str, bytes]]:
    places = dict.fromkeys((len(dice) - 1, (len(dice) - 1) // 2, 0))
    for place, what in zip(places, ("best", "median", "worst"), strict=False):
        case = str(dice.index[place])
        try:
            found = volumes_of(trial_id, case, evidence)
        except (OSError, ValueError):
            continue  # the page says why
        uri = draw(found.image, found.reference, found.prediction, found.spacing_mm)
        yield f"{what}_{case}_dice_{dice.iloc[place]:.2f}.png", base64.b64decode(uri.partition(",")[2])
