"""Propagation of prompts through a stack of slices by SAM 2's memory, as MedSAM2 does it (`medsam2_infer_3D_CT.py`).

Prompts are put on their slices; the model tracks from the lowest of them to the top, forgets, is prompted again, and
tracks from the highest one down to the bottom. The result is the union of what both ways find. `transformers` offers
the tracking; images do not pass its processor, since features are computed before and shared by all protocols.

Two small differences to the original predictor are known: it fills holes of a conditioning frame before it is
remembered (here holes are filled in what is given out only, with the same limit), and it keeps memories in bfloat16 in
both (so does `transformers`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.promptable.embeddings import Embeddings

NO_OBJECT_LOGIT = -1024.0
"""Where the model was not asked, or says that there is nothing; SAM 2's NO_OBJ_SCORE."""
LARGEST_HOLE_PX = 8
"""Holes up to this area in the low-resolution mask are filled; SAM 2's predictor: fill_hole_area."""
FILLED_LOGIT = 0.1
"""What they are filled with; `sam2/utils/misc.py`."""
OBJECT = 1
BOX_LABELS, POINT_LABELS = (2, 3), (1,)
"""SAM's labels of a box's upper left and lower right corner, and of a point inside."""


class _KnownFeatures:
    """Stands in for the session's cache, so that no frame is encoded again."""

    def __init__(self, embeddings: Embeddings, device: torch.device) -> None:
        if embeddings.position is None:
            raise ValueError("embeddings for propagation hold a positional encoding; these are of an image model")
        self._maps, self._device = embeddings.maps, device
        self._position = embeddings.position.to(device)

    def get_vision_features(self, frame_idx: int) -> dict[str, list[Tensor]]:
        """Feature maps of a frame as the model keeps them, (h * w, 1, C), finest first."""
        maps = [level.to(self._device).flatten(1).T[:, None] for level in self._maps[frame_idx]]
        return {"vision_feats": maps, "vision_pos_embeds": [self._position]}  # only the last is ever read


def propagated(
    model: Any,
    embeddings: Embeddings,
    prompts: Mapping[int, Tensor],
    *,
    native: tuple[int, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """The larger of the logits of both directions, (Z, H, W) in float32 on the processor.

    Args:
        model: Sam2VideoModel in evaluation mode.
        embeddings: Of every slice.
        prompts: Slice -> corners of a box (2, 2), or a point (1, 2), as (column, row) of the model's image.
        native: (H, W) of the slices.
        progress: Told the slices done, of both directions, and their number.
    """
    depth = len(embeddings.maps)
    total = depth - min(prompts) + (max(prompts) + 1 if max(prompts) > 0 else 0)
    logits = torch.full((depth, *native), NO_OBJECT_LOGIT)
    done = 0
    for reverse in (False, True):
        session = _prompted(model, embeddings, prompts, native)
        start = max(prompts) if reverse else min(prompts)
        for frame in model.propagate_in_video_iterator(session, start_frame_idx=start, reverse=reverse):
            low_res = fill_holes(frame.pred_masks.float().cpu())
            shown = functional.interpolate(low_res, native, mode="bilinear", align_corners=False)[0, 0]
            logits[frame.frame_idx] = torch.maximum(logits[frame.frame_idx], shown)
            done += 1
            progress(done, total)
    return logits


def _prompted(model: Any, embeddings: Embeddings, prompts: Mapping[int, Tensor], native: tuple[int, int]) -> Any:
    """A session that knows nothing but these prompts, each answered in its own frame."""
    from transformers import Sam2VideoInferenceSession

    device = next(model.parameters()).device
    session: Any = Sam2VideoInferenceSession(
        video_height=native[0],
        video_width=native[1],
        inference_device=device,
        inference_state_device=device,
        dtype=torch.float32,
    )
    session.processed_frames = dict.fromkeys(range(len(embeddings.maps)))  # counted only: their features are known
    session.cache = _KnownFeatures(embeddings, device)
    for z in sorted(prompts):
        labels = BOX_LABELS if len(prompts[z]) == len(BOX_LABELS) else POINT_LABELS
        given = {"point_coords": prompts[z][None, None], "point_labels": torch.tensor([[labels]], dtype=torch.int32)}
        session.add_point_inputs(session.obj_id_to_idx(OBJECT), z, given)
        session.obj_with_new_inputs = [OBJECT]
        model(session, frame_idx=z)
    return session


def fill_holes(logits: Tensor) -> Tensor:
    """Fill small holes (8-connected) of masks (B, 1, h, w) in main memory."""
    from scipy.ndimage import label

    filled = logits.clone()
    for image in filled[:, 0]:
        background = (image <= 0).numpy()
        parts, _ = label(background, structure=np.ones((3, 3)))
        areas = np.bincount(parts.ravel())
        small = areas <= LARGEST_HOLE_PX
        image[torch.from_numpy(background & small[parts])] = FILLED_LOGIT
    return filled


def largest_component(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest component (26-connected, the first of equal ones) of a mask (X, Y, Z); an empty mask stays empty."""
    from scipy.ndimage import label

    parts, n = label(mask, structure=np.ones((3, 3, 3)))
    if n == 0:
        return mask
    largest: npt.NDArray[np.bool_] = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    return largest
