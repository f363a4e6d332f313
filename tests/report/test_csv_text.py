"""Long tables as CSV, against pandas' own writer."""

import io

import numpy as np
import pandas as pd
import pytest

from dgsweep.analysis.frames import as_categories
from dgsweep.report.csv_text import long_csv


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "case_id": ["plain", "with, comma", 'with "quotes"', "Ångström"] * 5,
            "variant": [None, "", "paper", None] * 5,
            "step": range(20),
            "dice": np.where(rng.random(20) < 0.2, np.nan, rng.random(20)),
            "ratio": 1.0,
            "tiny": 10.0 ** -np.arange(20),
            "empty": rng.random(20) < 0.5,
        }
    )


@pytest.mark.parametrize("prepare", [lambda table: table, as_categories, lambda table: table.iloc[:0]])
def test_it_reads_back_as_what_pandas_writes(table, prepare):
    expected = pd.read_csv(io.StringIO(prepare(table).to_csv(index=False)))
    found = pd.read_csv(io.BytesIO(long_csv(prepare(table))))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
    assert long_csv(table).splitlines()[0].decode() == ",".join(table.columns)


def test_flags_are_written_as_pandas_writes_them(table):
    assert b"True" in long_csv(table)
    assert b"true" not in long_csv(table)
