"""Prediction of one case by a promptable model: slices are encoded once, prompts decoded, masks brought back.

Models are those of `transformers` in evaluation mode: SamModel (sam, medsam) and Sam2Model see single slices,
Sam2VideoModel carries prompts through the stack. A slice without a prompt that no memory reaches holds nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dgsweep.errors import CaseError, Problems, ResourceError
from dgsweep.method.promptable.embeddings import Embeddings
from dgsweep.method.promptable.prompts import Prompt
from dgsweep.method.promptable.propagate import largest_component, propagated
from dgsweep.method.promptable.slices import (
    Preparation,
    as_image,
    as_plane,
    box_in_image,
    model_input,
    to_model_px,
    to_native,
    to_uint8,
)

Progress = Callable[[str, int, int], None]
"""Called with `encode` or `decode`, the slices that are done and their number."""
T = TypeVar("T")
LARGEST_BATCH = 32
"""Beyond this a bigger batch is no faster."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many slices go through a model at once."""

    memory_mib: int = 8192
    """Of the accelerator, for the activations of a batch; the first slice of a case shows what one slice takes."""
    batch_slices: int | None = None
    """A fixed number instead. On a processor one slice at a time is as fast as many, and the default."""


@dataclass(frozen=True, kw_only=True)
class Promptable:
    """A model with all that belongs to its use."""

    model: nn.Module
    """SamModel, Sam2Model or Sam2VideoModel in evaluation mode, on its device."""
    family: str
    """Whose preprocessing it takes: `sam`, `medsam`, `sam2` or `medsam2`."""
    preparation: Preparation = field(default_factory=Preparation)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model made of the prompts of one case."""

    probability: npt.NDArray[np.float32]
    """(X, Y, Z) of the structure; above 0.5 exactly where `mask` holds."""
    mask: npt.NDArray[np.bool_]
    """(X, Y, Z), by the family's own threshold."""
    no_prompt: bool
    """There was nothing to prompt with (an empty mask), so that the prediction is empty."""
    encoded_slices: int
    """Slices that went through the image encoder; 0 when all embeddings were there."""


def predict_case(
    promptable: Promptable,
    volume: npt.NDArray[Any],
    prompts: Sequence[Prompt],
    *,
    embeddings: Embeddings | None = None,
    progress: Progress | None = None,
) -> Prediction:
    """Segment one structure of one case.

    Args:
        promptable: What answers. A Sam2VideoModel takes every prompt as a conditioning frame and propagates; the others
            answer in the prompted slices alone.
        volume: (X, Y, Z) intensities as they stand in the file, closest RAS, native axial stack.
        prompts: Of `prompts_from_mask`, in voxels of this volume; at most one a slice.
        embeddings: Those of this case (see `embeddings_key`); slices that they lack are encoded and added to them.
        progress: Told after each batch.

    Raises:
        CaseError: The image holds NaN, or prompts do not lie in it.
        ResourceError: Not even one slice fits into the accelerator.
    """
    _check(prompts, volume)
    if not prompts:
        empty = np.zeros(volume.shape, dtype=np.float32)
        return Prediction(probability=empty, mask=empty > 0, no_prompt=True, encoded_slices=0)
    case = _Case(promptable, volume, progress or (lambda *_: None))
    kept = Embeddings(key="") if embeddings is None else embeddings
    with torch.no_grad(), torch.autocast(case.device.type, dtype=torch.bfloat16, enabled=case.device.type == "cuda"):
        encoded = case.encode(kept, range(volume.shape[2]) if case.has_memory else [prompt.z for prompt in prompts])
        probability, mask = case.propagate(kept, prompts) if case.has_memory else case.decode(kept, prompts)
    return Prediction(probability=_agreeing(probability, mask), mask=mask, no_prompt=False, encoded_slices=len(encoded))


def _check(prompts: Sequence[Prompt], volume: npt.NDArray[Any]) -> None:
    problems, seen = Problems(), set()
    for prompt in prompts:
        where = f"prompt in slice {prompt.z}"
        corners = np.array(prompt.box_px or prompt.point_px or (-1, -1)).reshape(-1, 2)
        if not 0 <= prompt.z < volume.shape[2] or (corners < 0).any() or (corners >= volume.shape[:2]).any():
            found = f"{prompt.box_px or prompt.point_px} is not inside a volume of {volume.shape} voxels (x, y, z)"
            problems.add(where, found, "make prompts from a mask on the grid of the image")
        if prompt.z in seen:
            problems.add(where, "is a second one", "give one prompt a slice")
        seen.add(prompt.z)
    problems.raise_if_any(CaseError, "prompts and image do not fit together")


def _agreeing(probability: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """The probability, above 0.5 exactly in the mask: the sigmoid of a tiny logit is 0.5 in float32."""
    above = np.nextafter(np.float32(0.5), np.float32(1))
    return np.where(mask, np.maximum(probability, above), np.minimum(probability, np.float32(0.5)))


class _Case:
    """One case on its way through one model."""

    def __init__(self, promptable: Promptable, volume: npt.NDArray[Any], progress: Progress) -> None:
        model: Any = promptable.model
        self._model, self._family, self._preparation = model, promptable.family, promptable.preparation
        self._limits, self._progress = promptable.limits, progress
        self._bytes = to_uint8(volume, promptable.preparation)
        self._native = (volume.shape[1], volume.shape[0])
        self._image_size = int(model.config.prompt_encoder_config.image_size)
        self.device = next(model.parameters()).device
        self.has_memory: bool = model.config.model_type == "sam2_video"

    def encode(self, embeddings: Embeddings, slices: Sequence[int]) -> list[int]:
        """Fill in what the embeddings lack of these slices; returns which those were."""
        todo = embeddings.missing(slices)

        def work(chosen: Sequence[int]) -> None:
            maps, position = self._features(chosen)
            embeddings.maps.update(zip(chosen, maps, strict=True))
            embeddings.position = position if embeddings.position is None else embeddings.position

        self._in_batches(todo, work, lambda done: self._progress("encode", done, len(todo)))
        return todo

    def _in_batches(self, todo: Sequence[T], work: Callable[[Sequence[T]], None], done: Callable[[int], None]) -> None:
        """Work on as much at once as fits: the first alone, to see what one takes; half of what turns out too much."""
        size, start = self._limits.batch_slices or 1, 0
        while start < len(todo):
            chosen = todo[start : start + size]
            before = self._allocated_bytes()
            try:
                work(chosen)
            except torch.OutOfMemoryError as error:
                if len(chosen) == 1:
                    raise ResourceError(f"one slice of {self._image_size} pixels does not fit: {error}") from error
                size = len(chosen) // 2
                continue
            if start == 0 and self._limits.batch_slices is None and self.device.type == "cuda":
                peak = torch.cuda.max_memory_allocated(self.device) - before
                size = batch_slices(self._limits.memory_mib, peak)
            start += len(chosen)
            done(start)

    def _allocated_bytes(self) -> int:
        if self.device.type != "cuda":
            return 0
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def _features(self, slices: Sequence[int]) -> tuple[list[tuple[Tensor, ...]], Tensor | None]:
        """Feature maps of each slice, and the positional encoding where the model has a memory, in main memory."""
        images = (as_image(self._bytes[:, :, z], self._preparation) for z in slices)
        pixels = torch.stack([model_input(self._family, image, self._image_size) for image in images]).to(self.device)
        if self._model.config.model_type == "sam":
            levels, position = [self._model.get_image_embeddings(pixels)], None
        else:
            seen = self._model.get_image_features(pixels, return_dict=True)
            sizes = self._model.backbone_feature_sizes
            levels = [  # transformers has them as (h * w, B, C)
                level.permute(1, 2, 0).unflatten(2, tuple(size))
                for level, size in zip(seen.fpn_hidden_states, sizes, strict=True)
            ]
            position = seen.fpn_position_encoding[-1][:, :1].clone().cpu() if self.has_memory else None
        levels = [level.cpu() for level in levels]
        return [tuple(level[index].clone() for level in levels) for index in range(len(slices))], position

    def decode(
        self, embeddings: Embeddings, prompts: Sequence[Prompt]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Probability and mask (X, Y, Z) of a model without memory: each prompt answers in its own slice."""
        probability = np.zeros(self._bytes.shape, dtype=np.float32)
        mask = np.zeros(self._bytes.shape, dtype=np.bool_)

        def work(batch: Sequence[Prompt]) -> None:
            low_res = self._decoded([embeddings.maps[prompt.z] for prompt in batch], batch)
            found, inside = to_native(self._family, low_res, self._native, self._image_size)
            for index, prompt in enumerate(batch):
                probability[:, :, prompt.z] = as_plane(found[index].cpu().numpy(), self._preparation)
                mask[:, :, prompt.z] = as_plane(inside[index].cpu().numpy(), self._preparation)

        before = 0

        def told(done: int) -> None:
            self._progress("decode", before + done, len(prompts))

        for kind in ("box", "point"):
            of_kind = [prompt for prompt in prompts if prompt.kind == kind]
            self._in_batches(of_kind, work, told)
            before += len(of_kind)
        return probability, mask

    def _decoded(self, maps: Sequence[tuple[Tensor, ...]], batch: Sequence[Prompt]) -> Tensor:
        """Logits (B, h, w) of a batch of prompts of one kind."""
        levels = [torch.stack(level).to(self.device) for level in zip(*maps, strict=True)]
        if self._model.config.model_type == "sam2":
            levels[-1] = levels[-1] + self._model.no_memory_embedding.flatten()[:, None, None]
        seen = levels[0] if len(levels) == 1 else levels
        coordinates = torch.stack([self._model_px(prompt) for prompt in batch]).to(self.device)  # (B, corners, 2)
        if batch[0].kind == "box":
            boxes = coordinates.flatten(1)[:, None]
            answer = self._model(image_embeddings=seen, input_boxes=boxes, multimask_output=False)
            return answer.pred_masks[:, 0, 0]
        labels = torch.ones(len(batch), 1, 1, dtype=torch.int32, device=self.device)
        answer = self._model(
            image_embeddings=seen, input_points=coordinates[:, None], input_labels=labels, multimask_output=True
        )
        best = answer.iou_scores[:, 0].argmax(dim=1)  # one point is ambiguous: the mask that the model rates highest
        return answer.pred_masks[:, 0][torch.arange(len(batch), device=self.device), best]

    def _model_px(self, prompt: Prompt) -> Tensor:
        """Corners of the box (2, 2), or the point (1, 2), as (column, row) of the model's image."""
        size = (self._bytes.shape[0], self._bytes.shape[1])
        if prompt.box_px is not None:
            corners = np.array(box_in_image(prompt.box_px, size, self._preparation)).reshape(2, 2)
        else:
            corners = np.array(box_in_image((*(prompt.point_px or (0, 0)),) * 2, size, self._preparation))[None, :2]
        return torch.from_numpy(to_model_px(self._family, corners, self._native, self._image_size))

    def propagate(
        self, embeddings: Embeddings, prompts: Sequence[Prompt]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Probability and mask (X, Y, Z) of a model with memory; see `propagated`."""
        logits = propagated(
            self._model,
            embeddings,
            {prompt.z: self._model_px(prompt) for prompt in prompts},
            native=self._native,
            progress=lambda done, total: self._progress("decode", done, total),
        )
        planes = np.stack([as_plane(image, self._preparation) for image in logits.numpy()], axis=2)
        mask = largest_component(planes > 0)
        probability = torch.sigmoid(torch.from_numpy(planes)).numpy()
        probability[(planes > 0) & ~mask] = 0
        return probability, mask


def batch_slices(memory_mib: int, bytes_of_one: int) -> int:
    """Slices that fit into the memory, when one took so many bytes; at least one."""
    return max(1, min(LARGEST_BATCH, memory_mib * 2**20 // max(1, bytes_of_one)))
