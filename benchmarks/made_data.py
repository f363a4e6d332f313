"""Made scans for benchmarks, and the specs of trials on them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgsweep.config.schema import SweepConfig
from dgsweep.data.manifest import Manifest, read_manifest
from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.method.catalog import method_declarations, network_declarations
from dgsweep.plan.build import build_plan
from dgsweep.plan.trial import TrialSpec


def scans(folder: Path, shape: tuple[int, int, int] = (96, 80, 48), patients_per_center: int = 2) -> Manifest:
    """A phantom of three centers and two sequences, with the pancreas as its one structure; made once a folder."""
    made = PhantomSpec(patients_per_center=patients_per_center, centers=3, shape=shape, sequences=("T1W", "T2W"))
    path = folder / "phantom" / "manifest.csv"
    path = path if path.exists() else write_phantom(folder / "phantom", made)
    return read_manifest(path, config_of(path).data)


def config_of(manifest: Path, **changes: Any) -> SweepConfig:
    """A small sweep of one method on a manifest; `changes` replace whole sections."""
    sections: dict[str, Any] = {
        "data": {"manifest": str(manifest), "target_labels": ["pancreas"]},
        "methods": ["erm"],
        "networks": ["unet_tiny"],
        "budget": {"steps": 10_000},
        "selection": ["last"],
    }
    return SweepConfig.model_validate({**sections, **changes})


def first_trial(manifest: Manifest, *, data: Mapping[str, Any], **changes: Any) -> TrialSpec:
    """The first trial of that sweep; `data` is added to its section."""
    base = {"manifest": str(manifest.path), "target_labels": ["pancreas"]}
    config = config_of(manifest.path, data={**base, **data}, **changes)
    infos = [case.info for case in manifest.cases]
    return build_plan(config, infos, manifest.labels, method_declarations(), network_declarations(), {}).trials[0]
