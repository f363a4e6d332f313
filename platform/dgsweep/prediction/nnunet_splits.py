"""nnU-Net's splits_final.json for the protocols of a sweep, so that its users train on the very same patients."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.storage.files import write_bytes

Validation = Literal["source", "target"]


def nnunet_splits(plan: Plan, *, val: Validation = "source") -> list[dict[str, Any]]:
    """One entry for each source set and fold: `train` and `val` as nnU-Net reads them, and what it does not know.

    With `val` "target" the target's cases stand in `val`: nnU-Net then scores them in validation/summary.json, but it
    also chooses checkpoint_best by them: an oracle.
    """
    seen: dict[tuple[str, int], TrialSpec] = {}
    for spec in plan.compared:
        seen.setdefault(("+".join(spec.sources), spec.fold), spec)
    return [
        {
            "train": sorted(spec.split.train), "val": sorted(spec.split.val if val == "source" else spec.split.target),
            "sources": sources, "protocol_fold": fold, "target": sorted(spec.split.target),
            "in_domain_test": sorted(spec.split.test),
        }
        for (sources, fold), spec in seen.items()
    ]  # fmt: skip


def write_nnunet_splits(splits: Sequence[Mapping[str, Any]], out: Path) -> list[dict[str, Any]]:
    """Write splits_final.json, and splits_names.json with what each of its folds is; rows that tell the same."""
    plain = [{"train": split["train"], "val": split["val"]} for split in splits]
    rows = [
        {
            "nnunet_fold": number, "sources": split["sources"], "fold": split["protocol_fold"],
            "train": len(split["train"]), "val": len(split["val"]), "target": len(split["target"]),
        }
        for number, split in enumerate(splits)
    ]  # fmt: skip
    named = [{**row, **{side: split[side] for side in ("target", "in_domain_test")}}
             for row, split in zip(rows, splits, strict=True)]  # fmt: skip
    write_bytes(out / "splits_final.json", (json.dumps(plain, indent=2) + "\n").encode())
    write_bytes(out / "splits_names.json", (json.dumps(named, indent=2) + "\n").encode())
    return rows
