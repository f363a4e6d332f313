"""What one patch costs each backbone at inference, where `dgsweep networks time --of` measured it."""

import json
from collections.abc import Iterator

import pandas as pd

from dgsweep.report.evidence import Evidence
from dgsweep.report.texts import number
from dgsweep.storage.files import read_bytes

COLUMNS = ["name", "patch", "parameters", "flops", "mean_s", "sd_s", "median_s", "runs", "device", "threads"]


def network_table(evidence: Evidence) -> pd.DataFrame:
    """COLUMNS, one row per backbone and patch; no row where nobody timed them."""
    try:
        plain = json.loads(read_bytes(evidence.ledger.files.network_times))
    except FileNotFoundError:
        return pd.DataFrame(columns=COLUMNS)
    rows = [{**row, "patch": " x ".join(str(side) for side in row["patch"])} for row in plain["networks"]]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def network_rows(table: pd.DataFrame) -> Iterator[dict[str, str]]:
    """The table as text: millions of parameters, billions of multiply-accumulates, milliseconds."""
    for row in table.to_dict("records"):
        yield {
            "name": f"{row['name']}",
            "patch": f"{row['patch']}",
            "parameters": f"{number(row['parameters'] / 1e6, 2)} M",
            "flops": f"{number(row['flops'] / 1e9, 1)} G",
            "time": f"{number(row['mean_s'] * 1e3, 1)} ± {number(row['sd_s'] * 1e3, 1)} ms",
            "runs": f"{row['runs']}",
            "device": f"{row['device']}, {row['threads']} thread(s)",
        }
