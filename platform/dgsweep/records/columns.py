"""Columns and types of cases.parquet and curves.parquet; other people's scripts rely on them."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dgsweep.records.atomic import RecordError
from dgsweep.storage.files import read_bytes, write_bytes
from dgsweep.storage.place import AnyPath

_TEXT, _INT, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()

CASE_SCHEMA = pa.schema(
    [
        ("trial_id", _TEXT),
        ("method", _TEXT),
        ("variant", _TEXT),
        ("setting", _TEXT),
        ("label_ratio", _REAL),
        ("prompt", _TEXT),
        ("panel", _TEXT),
        ("network", _TEXT),
        ("sources", _TEXT),
        ("fold", _INT),
        ("seed", _INT),
        ("trial", _INT),
        ("step", _INT),
        ("domain", _TEXT),
        ("role", _TEXT),
        ("case_id", _TEXT),
        ("patient_id", _TEXT),
        ("center", _TEXT),
        ("sequence", _TEXT),
        ("label", _TEXT),
        ("dice", _REAL),
        ("jaccard", _REAL),
        ("precision", _REAL),
        ("recall", _REAL),
        ("hd95_mm", _REAL),
        ("hd95_pooled_mm", _REAL),
        ("assd_mm", _REAL),
        ("nsd", _REAL),
        ("tau_mm", _REAL),
        ("volume_ml", _REAL),
        ("volume_ref_ml", _REAL),
        ("volume_error", _REAL),
        ("distance_penalised", _FLAG),
        ("empty_prediction", _FLAG),
        ("empty_reference", _FLAG),
        ("wall_s", _REAL),
    ]
)
CURVE_SCHEMA = pa.schema([("step", _INT), ("role", _TEXT), ("domain", _TEXT), ("metric", _TEXT), ("value", _REAL)])

CASE_COLUMNS: tuple[str, ...] = tuple(CASE_SCHEMA.names)
CURVE_COLUMNS: tuple[str, ...] = tuple(CURVE_SCHEMA.names)
CASE_ROLES = ("val", "in_domain", "target")
CASE_KEY = ("case_id", "label", "step")
"""No two rows of one trial share these."""

_MAY_BE_MISSING = {"variant", "prompt"}
"""Text columns that are empty for the plain setting; a real number is missing where its metric is not defined."""


def write_case_rows(path: AnyPath, frame: pd.DataFrame) -> None:
    """Write cases.parquet atomically, in the order of CASE_COLUMNS.

    Raises:
        RecordError: A column is missing, unknown or of another type, a role is unknown, or two rows share CASE_KEY.
    """
    table = _table(path, frame, CASE_SCHEMA)
    problems = _unknown_roles(frame)
    if frame.duplicated(list(CASE_KEY)).any():
        twice = frame.loc[frame.duplicated(list(CASE_KEY)), "case_id"]
        problems.append(f"two rows share {', '.join(CASE_KEY)}, first for case {twice.iloc[0]!r}")
    _refuse(path, problems)
    _write(path, table)


def write_curve_rows(path: AnyPath, frame: pd.DataFrame) -> None:
    """Write curves.parquet atomically, in the order of CURVE_COLUMNS.

    Raises:
        RecordError: A column is missing, unknown or of another type.
    """
    _write(path, _table(path, frame, CURVE_SCHEMA))


def read_rows(path: AnyPath) -> pd.DataFrame:
    """Read either file; a real number that is not defined is NaN.

    Raises:
        RecordError: The file is missing or is not Parquet.
    """
    return as_frame([read_table(path)])


def read_table(path: AnyPath) -> pa.Table:
    """Read either file without pandas, which takes most of the time of a small one; RecordError as `read_rows`."""
    try:
        return pq.ParquetFile(pa.BufferReader(read_bytes(path))).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise RecordError(f"{path}: cannot be read ({error}); run the sweep again to score it anew") from error


def as_frame(tables: Sequence[pa.Table]) -> pd.DataFrame:
    """Put tables of equal columns below each other."""
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


def as_coded_frame(tables: Sequence[pa.Table]) -> pd.DataFrame:
    """`as_frame` with each column of text as categories, without ever making the text of every row."""
    whole = pa.concat_tables(tables)
    for place, field in enumerate(whole.schema):
        if field.type == _TEXT:
            whole = whole.set_column(place, field.name, whole.column(place).dictionary_encode())
    frame: pd.DataFrame = whole.to_pandas()
    return frame


def in_sorted_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with each column of categories holding those that occur, sorted; others as they are."""
    used = {str(name): frame[name].cat.remove_unused_categories() for name in frame.select_dtypes("category")}
    # A column without any text has categories of no type.
    texts = {name: own.cat.categories.astype("str").sort_values() for name, own in used.items()}
    return frame.assign(**{name: own.cat.set_categories(texts[name]) for name, own in used.items()})


def empty_rows(schema: Any) -> pd.DataFrame:
    """No row, but every column with its type."""
    frame: pd.DataFrame = schema.empty_table().to_pandas()
    return frame


def _table(path: AnyPath, frame: pd.DataFrame, schema: Any) -> Any:
    found, expected = set(frame.columns), set(schema.names)
    problems = [f"column {name!r} is missing" for name in schema.names if name not in found]
    problems += [f"column {name!r} is unknown" for name in frame.columns if name not in expected]
    _refuse(path, problems)
    columns = []
    for field in schema:
        try:
            columns.append(pa.Array.from_pandas(frame[field.name], type=field.type))
        except (pa.ArrowException, TypeError, ValueError) as error:
            problems.append(f"column {field.name!r} must hold {field.type} ({error})")
            continue
        if columns[-1].null_count and field.type != _REAL and field.name not in _MAY_BE_MISSING:
            problems.append(f"column {field.name!r} has {columns[-1].null_count} missing values")
    _refuse(path, problems)
    return pa.Table.from_arrays(columns, schema=schema)


def _unknown_roles(frame: pd.DataFrame) -> list[str]:
    unknown = sorted(set(frame["role"]) - set(CASE_ROLES))
    return [f"role {role!r} is unknown, expected one of {', '.join(CASE_ROLES)}" for role in unknown]


def _refuse(path: AnyPath, problems: Iterable[str]) -> None:
    if listed := list(problems):
        raise RecordError("\n".join([f"{path}: not written", *(f"  - {problem}" for problem in listed)]))


def parquet_bytes(table: pa.Table) -> bytes:
    """Content of a Parquet file of this table, made for being read by the ten thousand.

    A file of some hundred rows is no smaller with Zstandard, whose every page of every column takes a new context to
    read: half of the time of a file. Dictionaries of numbers that hardly repeat take room and time as well.
    """
    buffer = io.BytesIO()
    texts = [field.name for field in table.schema if field.type == _TEXT]
    pq.write_table(table, buffer, compression="snappy", use_dictionary=texts)
    return buffer.getvalue()


def _write(path: AnyPath, table: pa.Table) -> None:
    write_bytes(path, parquet_bytes(table))
