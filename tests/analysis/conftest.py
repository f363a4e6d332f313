"""Frames in the columns of cases.parquet, by hand: each test states its own numbers."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

Rows = Callable[..., pd.DataFrame]

ROW: dict[str, Any] = {
    "trial_id": "t0",
    "method": "erm",
    "variant": None,
    "setting": "",
    "label_ratio": 1.0,
    "prompt": None,
    "panel": "main",
    "network": "nnunet",
    "sources": "C1/T1W",
    "fold": 0,
    "seed": 0,
    "trial": 0,
    "step": 10,
    "domain": "C2/T2W",
    "role": "target",
    "case_id": "a",
    "patient_id": "p",
    "center": "C2",
    "sequence": "T2W",
    "label": "pancreas",
    "dice": 0.5,
    "jaccard": 1 / 3,
    "precision": 0.5,
    "recall": 0.5,
    "hd95_mm": 5.0,
    "hd95_pooled_mm": 5.0,
    "assd_mm": 1.0,
    "nsd": 0.5,
    "tau_mm": 2.0,
    "volume_ml": 10.0,
    "volume_ref_ml": 10.0,
    "volume_error": 0.0,
    "distance_penalised": False,
    "empty_prediction": False,
    "empty_reference": False,
    "wall_s": 1.0,
}


@pytest.fixture
def rows() -> Rows:
    """`rows({...}, {...})`: one row per mapping, each over a plain default row; case and patient follow each other."""

    def build(*changes: dict[str, Any]) -> pd.DataFrame:
        filled = []
        for change in changes:
            row = {**ROW, **change}
            row.setdefault("case_id", row["patient_id"])
            filled.append(row)
        return pd.DataFrame(filled, columns=list(ROW))

    return build
