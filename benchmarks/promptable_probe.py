"""Whether the small promptable model heeds its prompt: Dice on T1W of validation patients while it learns.

A box says nearly everything about a convex shape, so the box is judged against an ellipse drawn into it, and against a
point in the middle. No target sequence and no test patient is looked at here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from promptable_stacks import PREPARATION, Scan
from torch import Tensor
from torch.nn import functional

from dgsweep.method.promptable.slices import as_image, model_input, to_model_px

SLICES = 48
BATCH = 16
JITTER_PX = 3
LEAST_AREA_PX = 14


def probe(model: Any, scans: Sequence[Scan], size_px: int) -> dict[str, float]:
    """Mean Dice of slices, in the model's pixels, of the ellipse, with tight and jittered box and centre point."""
    places = [(s, z) for s in scans for z in np.flatnonzero(s.mask.sum(axis=(0, 1)) >= LEAST_AREA_PX)]
    chosen = [places[int(i)] for i in np.linspace(0, len(places) - 1, SLICES)]
    images = [as_image(scan.levels[:, :, z], PREPARATION) for scan, z in chosen]
    masks = [as_image(scan.mask[:, :, z], PREPARATION) for scan, z in chosen]
    pixels = torch.stack([model_input("medsam2", image, size_px) for image in images])
    targets = torch.stack([_square(mask, size_px) for mask in masks])
    rng = np.random.default_rng(0)
    said = {"ellipse": _mean_dice(torch.stack([_square(ellipse(mask), size_px) for mask in masks]), targets)}
    for name, jitter in (("box", 0), ("jittered", JITTER_PX), ("point", None)):
        points = torch.stack([_prompt(mask, jitter, rng, size_px) for mask in masks])
        said[name] = _mean_dice(answered(model, pixels, points), targets)
    return said


@torch.no_grad()
def answered(model: Any, pixels: Tensor, points: Tensor) -> Tensor:
    """Masks (N, S, S) of prompts (N, 2 or 1, 2), one in each image (N, 3, S, S), without memory."""
    model.eval()
    model.multimask_max_pt_num = 1
    found = []
    for start in range(0, len(pixels), BATCH):
        place = slice(start, start + BATCH)
        _, feats, positions, sizes = model._prepare_backbone_features(model.forward_image(pixels[place]))
        labels = torch.tensor([[2, 3] if points.shape[1] == 2 else [1]], dtype=torch.int32)
        given = {"point_coords": points[place], "point_labels": labels.expand(len(points[place]), -1)}
        empty: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        _, answer, _, _ = model._track_step(0, True, feats, positions, sizes, given, None, empty, 1, False, None)
        found.append(answer[4][:, 0] > 0)
    return torch.cat(found)


def _square(mask: npt.NDArray[np.bool_], size_px: int) -> Tensor:
    whole = torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None]
    return functional.interpolate(whole, (size_px, size_px), mode="bilinear")[0, 0] > 0.5


def ellipse(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest in the box of a mask (H, W): what one draws who sees the box and no image."""
    y, x = np.nonzero(mask)
    rows, columns = np.indices(mask.shape)
    v = (rows - (y.min() + y.max()) / 2) / ((np.ptp(y) + 1) / 2)
    u = (columns - (x.min() + x.max()) / 2) / ((np.ptp(x) + 1) / 2)
    inside: npt.NDArray[np.bool_] = u**2 + v**2 <= 1
    return inside


def _prompt(mask: npt.NDArray[np.bool_], jitter: int | None, rng: np.random.Generator, size_px: int) -> Tensor:
    inside = np.argwhere(mask)[:, ::-1]
    if jitter is None:
        points = inside[np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()][None]
    else:
        corners = np.stack([inside.min(axis=0), inside.max(axis=0)])
        points = np.clip(corners + rng.integers(-jitter, jitter + 1, size=(2, 2)), 0, np.array(mask.shape)[::-1] - 1)
    shape = (mask.shape[0], mask.shape[1])
    return torch.from_numpy(to_model_px("medsam2", points.astype(np.float64), shape, size_px))


def _mean_dice(found: Tensor, wanted: Tensor) -> float:
    both = (found & wanted).flatten(1).sum(dim=1)
    return float((2 * both / (found.flatten(1).sum(dim=1) + wanted.flatten(1).sum(dim=1))).mean())
