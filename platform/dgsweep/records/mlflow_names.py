"""Names that MLflow takes, and that stay apart when the names they come from are apart."""

import hashlib
import re

MAX_NAME = 250
"""MLflow's limit of a metric, parameter or tag name, in characters."""

_UNSAFE = re.compile(r"[^/\w.\- ]")
"""MLflow 3.17 takes letters, digits and `/ _ . -` and space; the colon, which Windows refuses, is left out here."""
_LOOKS_HASHED = re.compile(r"-[0-9a-f]{8}$")


def safe_name(name: str) -> str:
    """The name itself where MLflow takes it; otherwise a cleaned one that ends in eight digits of the name's hash.

    A name that already looks like that gets a hash too, so that no two names end up the same.
    """
    cleaned = "/".join(_safe_segment(segment) for segment in name.split("/"))
    if cleaned == name and len(name) <= MAX_NAME and not _LOOKS_HASHED.search(name):
        return name
    return f"{cleaned[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def curve_name(role: str, domain: str, metric: str) -> str:
    """Name of a row of curves.parquet: `curve/source_val_dice`, `curve/source_val_dice/C1/T1W`, `curve/loss_dice`."""
    prefix = {"val": "source_val_", "train": ""}.get(role, f"{role}_")
    return live_name(f"{prefix}{metric}" if domain in ("", "all") else f"{prefix}{metric}/{domain}")


def live_name(metric: str) -> str:
    """Name of a value that a running trial reports; the same as that of its row in curves.parquet."""
    return safe_name(f"curve/{metric}")


def _safe_segment(segment: str) -> str:
    """A path segment that is neither empty nor dots: MLflow refuses what would resolve to another path."""
    cleaned = _UNSAFE.sub("_", segment).strip(" ")
    return cleaned if cleaned.strip(".") else "_"
