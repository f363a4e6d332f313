"""The architecture of a checkpoint, read from the shapes of its parameters in the original layout. Free of torch."""

import re
from collections.abc import Mapping
from typing import Any

from dgsweep.errors import Problems, WeightsError
from dgsweep.method.promptable.architecture import (
    IMAGE_SIZE_PX,
    PATCH_PX,
    Architecture,
    encoder_sizes,
    encoders,
    is_hiera,
)

Shapes = Mapping[str, tuple[int, ...]]
OWN = "custom"
"""Name of an image encoder whose sizes are those of no published model."""


def layout_of(shapes: Shapes) -> str:
    """`sam` or `sam2` by the names of the image encoder's parameters, '' where they are of neither."""
    if any(name.startswith("image_encoder.trunk.") for name in shapes):
        return "sam2"
    return "sam" if any(name.startswith("image_encoder.") for name in shapes) else ""


def architecture_of(shapes: Shapes, family: str, image_size_px: int | None = None) -> Architecture | None:
    """Architecture that the shapes tell; None where a telling parameter is not there.

    A ViT tells everything. SAM 2's parameters do not depend on the image size, and they do not tell Hiera's heads,
    later windows and global blocks: those are taken from the published encoder of the same widths and depths.

    Raises:
        WeightsError: the Hiera encoder is not a published one, or its image size is known to nobody but the user.
    """
    try:
        return _hiera(shapes, family, image_size_px) if is_hiera(family) else _vit(shapes, family)
    except (KeyError, IndexError, ValueError, ZeroDivisionError):
        return None


def _vit(shapes: Shapes, family: str) -> Architecture:
    _, grid, _, width = shapes["image_encoder.pos_embed"]
    reach = [
        (shapes[f"image_encoder.blocks.{block}.attn.rel_pos_h"][0] + 1) // 2  # 2 s - 1 distances between s tokens
        for block in range(_count(shapes, r"image_encoder\.blocks\.(\d+)\.norm1\.weight"))
    ]
    windows = {size for size in reach if size != grid}
    if len(windows) > 1:
        raise ValueError
    sizes: dict[str, Any] = {
        "width": width,
        "heads": width // shapes["image_encoder.blocks.0.attn.rel_pos_h"][1],
        "blocks": (len(reach),),
        "windows": (windows.pop() if windows else grid,),
        "global_blocks": tuple(block for block, size in enumerate(reach) if size == grid),
    }
    named = [name for name in encoders(family) if encoder_sizes(name) == sizes]
    return Architecture(
        family=family,
        encoder=named[0] if named else OWN,
        image_size_px=grid * PATCH_PX,
        hidden=shapes["prompt_encoder.no_mask_embed.weight"][1],
        decoder_mlp=shapes["mask_decoder.transformer.layers.0.mlp.lin1.weight"][0],
        iou_hidden=shapes["mask_decoder.iou_prediction_head.layers.0.weight"][0],
        **sizes,
    )


def _hiera(shapes: Shapes, family: str, image_size_px: int | None) -> Architecture:
    trunk = "image_encoder.trunk"
    width, window = shapes[f"{trunk}.pos_embed_window"][1:3]
    out = [
        shapes[f"{trunk}.blocks.{block}.attn.proj.weight"][0]
        for block in range(_count(shapes, rf"{re.escape(trunk)}\.blocks\.(\d+)\.norm1\.weight"))
    ]
    blocks = tuple(out.count(width * 2**stage) for stage in range(4))
    encoder = _hiera_encoder(width, blocks, window)
    return Architecture(
        family=family,
        encoder=encoder,
        image_size_px=_hiera_image_size_px(family, encoder, image_size_px),
        hidden=shapes["no_mem_embed"][-1],
        decoder_mlp=shapes["sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight"][0],
        iou_hidden=shapes["sam_mask_decoder.iou_prediction_head.layers.0.weight"][0],
        memory_layers=_count(shapes, r"memory_attention\.layers\.(\d+)\.norm1\.weight"),
        memory_mlp=shapes["memory_attention.layers.0.linear1.weight"][0],
        memory_frames=shapes["maskmem_tpos_enc"][0],
        pointer_positions="obj_ptr_tpos_proj.weight" in shapes,
        occlusion_embedding="no_obj_embed_spatial" in shapes,
        **encoder_sizes(encoder),
    )


def _hiera_encoder(width: int, blocks: tuple[int, ...], window: int) -> str:
    for name in encoders("sam2"):
        sizes = encoder_sizes(name)
        if (sizes["width"], sizes["blocks"], sizes["windows"][0]) == (width, blocks, window):
            return name
    problems = Problems()
    problems.add(
        "image_encoder.trunk",
        f"width {width}, blocks {blocks}, first window {window}",
        f"one of {', '.join(encoders('sam2'))}, or say what it is with --architecture FILE.json",
    )
    raise WeightsError("the image encoder is no published one, and its heads and windows are not in the file", problems)


def _hiera_image_size_px(family: str, encoder: str, image_size_px: int | None) -> int:
    if image_size_px is not None:
        return image_size_px
    if encoder != "hiera_mini":
        return IMAGE_SIZE_PX[family]
    problems = Problems()
    problems.add("image size", "not in the file, and hiera_mini has none of its own", "give it: --image-size-px 128")
    raise WeightsError("nobody knows on which image size this model was trained", problems)


def _count(shapes: Shapes, pattern: str) -> int:
    found = {int(match.group(1)) for name in shapes if (match := re.fullmatch(pattern, name))}
    if not found or found != set(range(len(found))):
        raise ValueError(f"no unbroken sequence of {pattern}")
    return len(found)
