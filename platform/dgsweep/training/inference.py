"""Sliding-window prediction with Gaussian weights, optionally averaged over mirror images."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dgsweep.method.context import Context
from dgsweep.method.networks import evaluating
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.inferers.utils import sliding_window_inference

AXES = {"x": 2, "y": 3, "z": 4}
ON_PROCESSOR = 2
"""Windows at a time on a processor, at most: four of 64 x 64 x 64 no longer fit its caches, and cost a tenth to a third
more each; single ones miss torch's fast convolution (measured, docs/performance.md)."""


def predict_probabilities(
    ctx: Context,
    image: Tensor,
    patch: tuple[int, int, int],
    inference: Mapping[str, Any],
    *,
    adapt: bool = True,
    network: nn.Module | None = None,
) -> Tensor:
    """Class probabilities of one case on the working grid.

    Args:
        ctx: trained context; a method with test-time hooks adapts here and is restored afterwards.
        image: (C, X, Y, Z), z-scored.
        patch: window (x, y, z) in voxels.
        inference: overlap, batch, mirror_axes.
        adapt: whether a method with test-time training trains on the case first.
        network: predicts instead of the one whose predictions count, as it is: a student.

    Returns:
        (K+1, X, Y, Z) float32 on the device of the network.
    """
    image = image.to(ctx.device)
    if network is not None or not adapt or "adapt" not in ctx.method.hooks():
        return _predict(ctx, image, patch, inference, network)
    with ctx.adapted(image[None]):
        return _predict(ctx, image, patch, inference)


@torch.no_grad()
def _predict(
    ctx: Context,
    image: Tensor,
    patch: tuple[int, int, int],
    inference: Mapping[str, Any],
    network: nn.Module | None = None,
) -> Tensor:
    predictor = ctx.method.predictor(ctx) if network is None else network
    with evaluating(ctx.network, predictor):
        own = ctx.method.predict_case(ctx, image) if network is None else None
        return own.float() if own is not None else _slide(ctx, predictor, image, patch, inference)


def _slide(
    ctx: Context, predictor: nn.Module, image: Tensor, patch: tuple[int, int, int], inference: Mapping[str, Any]
) -> Tensor:
    flips = _mirror_combinations(tuple(inference["mirror_axes"]))

    def logits(window: Tensor) -> Tensor:
        shown = [ctx.method.infer_input(ctx, window.flip(flip)) for flip in flips]  # mirrored first, as in training
        with torch.autocast(ctx.device.type, dtype=torch.bfloat16, enabled=ctx.recipe.autocast):
            votes = [predictor(view)[0].flip(flip) for view, flip in zip(shown, flips, strict=True)]
        return torch.stack(votes).float().mean(dim=0) if len(votes) > 1 else votes[0].float()

    batch = int(inference["batch"])
    merged: Tensor = sliding_window_inference(
        image[None],
        roi_size=patch,
        sw_batch_size=min(batch, ON_PROCESSOR) if ctx.device.type == "cpu" else batch,
        predictor=logits,
        overlap=float(inference["overlap"]),
        mode="gaussian",
        sigma_scale=0.125,
    )
    return torch.softmax(merged[0], dim=0)


def _mirror_combinations(axes: tuple[str, ...]) -> list[tuple[int, ...]]:
    """Every subset of the mirror axes as tensor dimensions, the empty one first."""
    dims = [AXES[axis] for axis in axes]
    return [subset for size in range(len(dims) + 1) for subset in itertools.combinations(dims, size)]
