"""Seconds to predict one scan on its native grid: ours, nnU-Net's predictor and MONAI's sliding window.

The same network with the same weights, windows half overlapping with Gaussian weights, no mirroring, one thread.
nnU-Net returns its class map by its own export (resampling of logits included); MONAI's probabilities are resampled by
`torch.nn.functional.interpolate`, which is its fastest way. Ours is what a trial runs, in full precision and bfloat16.

    python benchmarks/inference.py
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nnunet_peer
import numpy as np
import torch
from made_data import first_trial, scans
from monai.inferers.utils import sliding_window_inference
from rounds import alternate, ratio
from torch import Tensor, nn
from torch.nn import functional
from training_step import Ours

from dgsweep.data.cache import CachedCase, PreprocessCache
from dgsweep.data.manifest import Manifest
from dgsweep.training.assemble import build_context
from dgsweep.training.runtime import Runtime
from dgsweep.training.scoring import predict_mask

PATCH, SPACING_MM, SHAPE = (64, 64, 64), (2.5, 2.5, 2.5), (96, 96, 64)
NETWORKS = (("unet_tiny", {}), ("nnunet", {"width": 16}))
ROUNDS, TRAINED = 3, 30
Predict = Callable[[], np.ndarray]


def dice(one: np.ndarray, two: np.ndarray) -> float:
    """Of two class maps, any class."""
    return float(2 * np.sum((one == two) & (one > 0)) / max(np.sum(one > 0) + np.sum(two > 0), 1))


class First(nn.Module):
    """The finest output of a network only, as both peers expect."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, x, y, z) -> (B, 2, x, y, z)."""
        out = self.network(image)
        return out[0] if isinstance(out, list | tuple) else out


def monai_predict(network: nn.Module, case: CachedCase) -> np.ndarray:
    """MONAI's sliding window, then its probabilities on the native grid."""
    with torch.inference_mode():
        image = torch.from_numpy(np.array(case.image))[None, None]
        logits = sliding_window_inference(image, PATCH, 4, network, overlap=0.5, mode="gaussian", sigma_scale=0.125)
        shares = torch.softmax(logits, dim=1)
        native = functional.interpolate(shares, size=case.native.canonical_shape, mode="trilinear")
        return native.argmax(dim=1)[0].numpy().astype(np.uint8)


def nnunet_predict(network: nn.Module, case: CachedCase, peer: nnunet_peer.Peer) -> Predict:
    """nnU-Net's predictor and export, given our network and our preprocessed scan."""
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(peer.plans)
    configuration, labels = (
        manager.get_configuration(nnunet_peer.CONFIGURATION),
        manager.get_label_manager(peer.dataset_json),
    )
    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=False, perform_everything_on_device=False,
        device=torch.device("cpu"), verbose=False, allow_tqdm=False,
    )  # fmt: skip
    predictor.network, predictor.configuration_manager, predictor.label_manager = network, configuration, labels
    image = torch.from_numpy(np.array(case.image))[None]
    shape, spacing = case.native.canonical_shape, case.native.spacing_mm
    properties = {
        "spacing": list(spacing), "shape_before_cropping": shape, "shape_after_cropping_and_before_resampling": shape,
        "bbox_used_for_cropping": [[0, size] for size in shape],
    }  # fmt: skip

    def predict() -> np.ndarray:
        logits = predictor.predict_sliding_window_return_logits(image)
        return convert_predicted_logits_to_segmentation_with_correct_shape(
            logits, manager, configuration, labels, properties
        )

    return predict


def trained(manifest: Manifest, folder: Path, network: str, options: dict[str, Any]) -> dict[str, Tensor]:
    """Weights after a short training: the mask of an untrained network is noise, which rounding changes."""
    spec = first_trial(
        manifest, data={"patch": PATCH, "spacing_mm": list(SPACING_MM)},
        training={"batch": 2, "amp": "bf16", "optimizer": "adamw", "learning_rate": 0.005},
        networks=[{"name": network, "options": options}],
    )  # fmt: skip
    ours = Ours(spec, manifest, folder)
    ours.steps(TRAINED)
    return ours.ctx.network.state_dict()


def measure(manifest: Manifest, folder: Path, network: str, options: dict[str, Any], peer: Any) -> dict[str, float]:
    """Ratios and agreement for one network."""
    found: dict[str, float] = {}
    ours: dict[str, Predict] = {}
    weights = trained(manifest, folder, network, options)
    for amp in ("off", "bf16"):
        spec = first_trial(
            manifest, data={"patch": PATCH, "spacing_mm": list(SPACING_MM)}, training={"amp": amp},
            networks=[{"name": network, "options": options}],
        )  # fmt: skip
        case = PreprocessCache(folder / "cache").image(manifest.cases[0], spec.preprocessing, "all")
        ctx = build_context(spec, Runtime(device=torch.device("cpu")), weights)
        ours[amp] = lambda ctx=ctx, spec=spec, case=case: case.native.to_canonical(predict_mask(ctx, spec, case))
    first = First(ctx.network).eval()
    tools: dict[str, Predict] = {
        "ours": ours["off"], "ours_bf16": ours["bf16"], "MONAI": lambda: monai_predict(first, case),
    }  # fmt: skip
    if peer is not None:
        tools["nnU-Net"] = nnunet_predict(first, case, peer)
    masks = {name: work() for name, work in tools.items()}
    seen = alternate(tools, ROUNDS)
    for theirs in list(tools)[2:]:
        found[f"{network}: {theirs} / ours"] = ratio(seen, theirs, "ours")
        found[f"{network}: {theirs} / ours in bfloat16"] = ratio(seen, theirs, "ours_bf16")
        found[f"{network}: Dice with {theirs}"] = dice(masks["ours"], masks[theirs])
    found[f"{network}: Dice of bfloat16 with full precision"] = dice(masks["ours"], masks["ours_bf16"])
    return found


def run() -> dict[str, float]:
    """Ratios; the aim is twice as fast with the same mask."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest, peer = scans(folder, shape=SHAPE, patients_per_center=1), None
        if nnunet_peer.installed():
            raw = nnunet_peer.write_raw(folder, manifest.cases[:3])
            peer = nnunet_peer.plan(raw, PATCH, 2, SPACING_MM, 8, 5)
        found: dict[str, float] = {}
        for network, options in NETWORKS:
            found |= measure(manifest, folder, network, options, peer)
    return found


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
