"""A trained network as a MONAI bundle: safetensors, metadata.json, inference.json (MONAI's bundle specification)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import monai
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

import dgsweep
from dgsweep.errors import InputError, Problem
from dgsweep.method.catalog import load_implementation, network_declaration
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network
from dgsweep.prediction.predict import Model
from dgsweep.storage.files import write_bytes

WEIGHTS = "models/model.safetensors"
NETWORK = "models/network.json"
AT_TEST_TIME = {"adapt", "predict_case", "infer_input"}
"""Hooks by which a method predicts with more than its network."""


class OneOutput(nn.Module):
    """The finest logits (B, K+1, X, Y, Z) of a backbone, as other tools expect one tensor."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Image (B, C, X, Y, Z) -> logits (B, K+1, X, Y, Z)."""
        found: Tensor = self.network(x)[0]
        return found


def plain_network(model: Model) -> OneOutput:
    """The network that predicts; InputError when the method predicts with more than a network."""
    more = sorted(AT_TEST_TIME & set(model.ctx.method.hooks()))
    predictor = model.ctx.method.predictor(model.ctx)
    if more or not isinstance(predictor, SegmentationNetwork):
        found = f"{model.spec.method} predicts through {', '.join(more) or 'several networks'}"
        problem = Problem(where=f"trial {model.spec.trial_id}", found=found, fix="use `dgsweep predict`")
        raise InputError("a network alone would predict something else", [problem])
    return OneOutput(predictor).eval()


def write_bundle(model: Model, out: Path) -> Path:
    """Write the bundle's folder; it needs dgsweep where it is loaded, which builds the network.

    Raises:
        InputError: the method predicts with more than its network.
    """
    network = plain_network(model).network
    spec = model.spec
    task = {
        "name": spec.network, "in_channels": 1, "n_classes": len(spec.preprocessing.labels) + 1,
        "patch": spec.preprocessing.patch, "spacing_mm": spec.preprocessing.spacing_mm,
        "deep_supervision": bool(spec.training["deep_supervision"]), "options": dict(spec.network_options),
    }  # fmt: skip
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    write_bytes(out / WEIGHTS, save(weights))
    _json(out / NETWORK, task)
    _json(out / "configs" / "metadata.json", _metadata(model))
    _json(out / "configs" / "inference.json", _inference(model))
    write_bytes(out / "docs" / "README.md", _readme(model).encode())
    write_bytes(out / "LICENSE", b"The weights belong to whoever trained them: put their licence here.\n")
    return out


def network_of(folder: Path | str) -> OneOutput:
    """The network of a bundle with its weights, for evaluation.

    Raises:
        InputError: files are missing, or the weights are of another network.
    """
    root = Path(folder)
    try:
        task = json.loads((root / NETWORK).read_text(encoding="utf-8"))
        declaration = network_declaration(task.pop("name"))
        made = NetworkTask(**{**task, "patch": tuple(task["patch"]), "spacing_mm": tuple(task["spacing_mm"])})
        network = build_network(declaration, load_implementation(declaration), made, seed=0)
        network.load_state_dict(load_file(root / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        problem = Problem(where=str(root), found=str(error).splitlines()[0], fix="export the trial again")
        raise InputError("the bundle cannot be loaded", [problem]) from error
    return OneOutput(network).eval()


def _metadata(model: Model) -> Mapping[str, Any]:
    """The keys that MONAI's specification asks for, and how the data must look."""
    spec = model.spec
    classes = {"0": "background", **{str(k): name for k, name in enumerate(spec.preprocessing.labels, start=1)}}
    image = {
        "type": "image", "format": "magnitude", "modality": "MR", "num_channels": 1, "is_patch_data": True,
        "spatial_shape": list(spec.preprocessing.patch), "dtype": "float32", "value_range": [],
        "channel_def": {"0": "image"},
    }  # fmt: skip
    logits = {**image, "type": "probabilities", "num_channels": len(classes), "channel_def": classes}
    return {
        "version": "0.1.0", "changelog": {"0.1.0": "exported"}, "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0], "numpy_version": "",
        "optional_packages_version": {"dgsweep": dgsweep.__version__},
        "name": spec.name, "task": f"segmentation of {', '.join(spec.preprocessing.labels)}",
        "description": f"{spec.method} trained on {'+'.join(spec.sources)}, trial {spec.trial_id}",
        "authors": "", "copyright": "", "data_source": "", "data_type": "nifti", "intended_use": "research",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": logits}},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def _inference(model: Model) -> Mapping[str, Any]:
    """What MONAI's ConfigParser builds: reading and scaling, the network, the sliding window, and the way back."""
    grid, inference = model.spec.preprocessing, model.spec.inference
    steps: list[Mapping[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
        {"_target_": "NormalizeIntensityd", "keys": "image"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": list(grid.spacing_mm), "mode": 3},
    ]
    window = {
        "_target_": "SlidingWindowInferer", "roi_size": list(grid.patch), "sw_batch_size": int(inference["batch"]),
        "overlap": float(inference["overlap"]), "mode": "gaussian", "sigma_scale": 0.125,
    }  # fmt: skip
    back = [
        {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
         "nearest_interp": False},
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'", "output_postfix": "seg"},
    ]  # fmt: skip
    return {
        "bundle_root": ".",
        "network_def": {"_target_": "dgsweep.prediction.bundle.network_of", "folder": "@bundle_root"},
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "inferer": window,
        "postprocessing": {"_target_": "Compose", "transforms": back},
    }


def _readme(model: Model) -> str:
    spec = model.spec
    return f"""# {spec.name}

{spec.method} ({spec.network}) trained on {", ".join(spec.sources)}; trial {spec.trial_id}.
Written by dgsweep {dgsweep.__version__}.

```python
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config("configs/inference.json")
parser["bundle_root"] = "."
network = parser.get_parsed_content("network_def")   # needs dgsweep
```

MONAI's resampling is not ours: masks made by this bundle differ from `dgsweep predict` at borders.
Research use only.
"""


def _json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())
