"""What each score is: name, unit, direction and how many decimals it deserves in a table."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """One column of scores."""

    name: str
    """Key in the dictionary that `score_case` returns, and column of `cases.parquet`."""
    unit: str
    """`1` for a fraction, `mm`, `ml`, or `bool` for 0.0 / 1.0."""
    higher_is_better: bool | None
    """None where neither direction is better (a volume, a flag, a setting)."""
    decimals: int
    """Digits after the point in tables."""


def _spec(name: str, unit: str, higher_is_better: bool | None, decimals: int) -> MetricSpec:
    return MetricSpec(name=name, unit=unit, higher_is_better=higher_is_better, decimals=decimals)


METRIC_SPECS: tuple[MetricSpec, ...] = (
    _spec("dice", "1", True, 3),
    _spec("jaccard", "1", True, 3),
    _spec("precision", "1", True, 3),
    _spec("recall", "1", True, 3),
    _spec("hd95_mm", "mm", False, 2),
    _spec("hd95_pooled_mm", "mm", False, 2),
    _spec("assd_mm", "mm", False, 2),
    _spec("nsd", "1", True, 3),
    _spec("tau_mm", "mm", None, 2),
    _spec("volume_ml", "ml", None, 1),
    _spec("volume_ref_ml", "ml", None, 1),
    # Signed, so neither direction is better: best is zero, and a table that wants a direction takes the magnitude.
    _spec("volume_error", "1", None, 3),
    _spec("distance_penalised", "bool", None, 0),
    _spec("empty_prediction", "bool", None, 0),
    _spec("empty_reference", "bool", None, 0),
)
"""Every column that `score_case` always returns, in its order."""

NSD_SURFEL_SPEC = _spec("nsd_surfel", "1", True, 3)
"""The column that `score_case(..., surfel_nsd=True)` adds."""

METRIC_NAMES: tuple[str, ...] = tuple(spec.name for spec in METRIC_SPECS)
"""Names of `METRIC_SPECS`, in order."""


def metric_spec(name: str) -> MetricSpec:
    """Return the spec of one column.

    Raises:
        KeyError: no column has this name.
    """
    return {spec.name: spec for spec in (*METRIC_SPECS, NSD_SURFEL_SPEC)}[name]
