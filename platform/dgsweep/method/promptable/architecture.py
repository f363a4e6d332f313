"""The sizes of a promptable model: everything that its layers depend on, and nothing else. Free of torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from dgsweep.errors import Problems, WeightsError

FAMILIES = ("sam", "medsam", "sam2", "medsam2")
IMAGE_SIZE_PX = {"sam": 1024, "medsam": 1024, "sam2": 1024, "medsam2": 512}
"""Side of the square that each published model was trained on; MedSAM2's configuration is sam2.1_hiera_t512."""
PATCH_PX = 16
"""Image pixels under one token of the ViT, and under one cell of the embedding that the mask decoder reads."""
HIERA_STRIDE_PX = 4
"""Image pixels under one token of Hiera's first stage; each of the three later stages halves the grid."""
MEMORY_CHANNELS = 64
"""Channels of a memory in SAM 2; transformers 5.23 builds its memory attention for this number only."""
_STAGES = 4
_DECODER_HEADS = 8
"""Attention heads of every mask decoder; its cross-attention works on half the channels."""
_ENCODERS: Mapping[str, Mapping[str, Any]] = {
    # segment_anything/build_sam.py
    "vit_b": {"width": 768, "heads": 12, "blocks": (12,), "windows": (14,), "global_blocks": (2, 5, 8, 11)},
    "vit_l": {"width": 1024, "heads": 16, "blocks": (24,), "windows": (14,), "global_blocks": (5, 11, 17, 23)},
    "vit_h": {"width": 1280, "heads": 16, "blocks": (32,), "windows": (14,), "global_blocks": (7, 15, 23, 31)},
    # sam2/configs/sam2.1/sam2.1_hiera_{t,s,b+,l}.yaml over the defaults of sam2.modeling.backbones.hieradet.Hiera
    "hiera_tiny": {
        "width": 96,
        "heads": 1,
        "blocks": (1, 2, 7, 2),
        "windows": (8, 4, 14, 7),
        "global_blocks": (5, 7, 9),
    },
    "hiera_small": {
        "width": 96,
        "heads": 1,
        "blocks": (1, 2, 11, 2),
        "windows": (8, 4, 14, 7),
        "global_blocks": (7, 10, 13),
    },
    "hiera_base_plus": {
        "width": 112,
        "heads": 2,
        "blocks": (2, 3, 16, 3),
        "windows": (8, 4, 14, 7),
        "global_blocks": (12, 16, 20),
    },
    "hiera_large": {
        "width": 144,
        "heads": 2,
        "blocks": (2, 6, 36, 4),
        "windows": (8, 4, 16, 8),
        "global_blocks": (23, 33, 43),
    },
    # Ours, for tests and for the model that `make promptable` trains
    "vit_mini": {"width": 48, "heads": 4, "blocks": (3,), "windows": (3,), "global_blocks": (2,)},
    "hiera_mini": {"width": 16, "heads": 1, "blocks": (1, 2, 3, 1), "windows": (8, 4, 4, 2), "global_blocks": (4,)},
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes of one model. Tuples hold one number per stage of the image encoder: one for ViT, four for Hiera."""

    family: str
    encoder: str
    """Published name of the image encoder (vit_b, hiera_tiny, ...), or a name of one's own."""
    image_size_px: int
    """Side of the square image that the model sees."""
    width: int
    """Channels of the first stage; Hiera doubles them from stage to stage."""
    heads: int
    """Attention heads of the first stage; Hiera doubles them from stage to stage."""
    blocks: tuple[int, ...]
    windows: tuple[int, ...]
    """Side of an attention window, in tokens."""
    global_blocks: tuple[int, ...]
    """Blocks, counted over all stages, that attend to the whole image."""
    hidden: int = 256
    """Channels of the embedding, the prompts and the mask decoder."""
    decoder_mlp: int = 2048
    iou_hidden: int = 256
    memory_layers: int = 4
    memory_mlp: int = 2048
    memory_frames: int = 7
    """Memories that SAM 2 attends to: the prompted frame and the six before this one."""
    pointer_positions: bool = True
    """Object pointers carry their distance in frames (SAM 2.1, not 2.0)."""
    occlusion_embedding: bool = True
    """Memories of frames without the object are marked (SAM 2.1, not 2.0)."""

    def __post_init__(self) -> None:
        problems = Problems()
        self._check(problems)
        problems.raise_if_any(WeightsError, "no model can be built with these sizes")

    @classmethod
    def published(cls, family: str, encoder: str = "") -> Self:
        """Architecture of a published model; the smallest encoder of the family where none is named."""
        _known(family)
        name = encoder or ("hiera_tiny" if is_hiera(family) else "vit_b")
        if name not in encoders(family):
            problems = Problems()
            problems.add("encoder", repr(name), f"one of {', '.join(encoders(family))} for {family}")
            problems.raise_if_any(WeightsError, "no such image encoder")
        return cls(family=family, encoder=name, image_size_px=IMAGE_SIZE_PX[family], **_ENCODERS[name])

    @classmethod
    def small(cls, family: str, image_size_px: int = 128) -> Self:
        """A model of a few million parameters with every part of the family's architecture."""
        _known(family)
        if is_hiera(family):  # the package sam2 fixes decoder_mlp at 2048 and iou_hidden at 256, so they stay
            sizes: dict[str, Any] = {"encoder": "hiera_mini", "hidden": 128, "memory_layers": 2, "memory_mlp": 256}
        else:
            sizes = {"encoder": "vit_mini", "hidden": 64, "decoder_mlp": 256, "iou_hidden": 64}
        return cls(family=family, image_size_px=image_size_px, **sizes, **_ENCODERS[sizes["encoder"]])

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of `document`; unknown and missing fields are refused together."""
        names = {field.name for field in fields(cls)}
        needed = {"family", "encoder", "image_size_px", "width", "heads", "blocks", "windows", "global_blocks"}
        problems = Problems()
        for name in sorted(set(document) - names):
            problems.add(name, "unknown field", f"one of {', '.join(sorted(names))}")
        for name in sorted(needed - set(document)):
            problems.add(name, "missing", "give it")
        problems.raise_if_any(WeightsError, "this is no architecture")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return cls(**values)

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def at(self, image_size_px: int) -> Self:
        """The same weights, for images of another size; SAM 2 only, since a ViT's positions fix its image size."""
        return replace(self, image_size_px=image_size_px)

    @property
    def is_hiera(self) -> bool:
        """Whether the image encoder is SAM 2's."""
        return is_hiera(self.family)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of each stage of the image encoder."""
        return tuple(self.width * 2**stage for stage in range(len(self.blocks)))

    @property
    def stage_heads(self) -> tuple[int, ...]:
        """Attention heads of each stage of the image encoder."""
        return tuple(self.heads * 2**stage for stage in range(len(self.blocks)))

    def _check(self, problems: Problems) -> None:
        stages = _STAGES if self.is_hiera else 1
        step = PATCH_PX * 2 if self.is_hiera else PATCH_PX
        if self.family not in FAMILIES:
            problems.add("family", repr(self.family), f"one of {', '.join(FAMILIES)}")
        for name in ("blocks", "windows"):
            if len(getattr(self, name)) != stages:
                problems.add(name, f"{len(getattr(self, name))} stages", f"{stages} for {self.family}")
        if self.is_hiera and self.windows:
            step = max(step, HIERA_STRIDE_PX * self.windows[0])  # position windows tile the first stage's grid
        if self.image_size_px <= 0 or self.image_size_px % step:
            problems.add("image_size_px", str(self.image_size_px), f"a multiple of {step}")
        if self.heads < 1 or self.width % self.heads:
            problems.add("heads", str(self.heads), f"a divisor of width, {self.width}")
        unit = MEMORY_CHANNELS if self.is_hiera else 2 * _DECODER_HEADS
        least = 2 * unit if self.is_hiera else unit  # sam2 leaves out a layer of its memory where both are equal
        if self.hidden < least or self.hidden % unit:
            problems.add("hidden", str(self.hidden), f"a multiple of {unit}, at least {least}")


def is_hiera(family: str) -> bool:
    """Whether models of a family have SAM 2's layout (SAM's otherwise)."""
    return family in {"sam2", "medsam2"}


def encoders(family: str) -> tuple[str, ...]:
    """Names of the image encoders that a family's checkpoints can have."""
    return tuple(name for name in _ENCODERS if name.startswith("hiera") == is_hiera(family))


def encoder_sizes(name: str) -> Mapping[str, Any]:
    """The fields of `Architecture` that an image encoder's name stands for."""
    return _ENCODERS[name]


def _known(family: str) -> None:
    if family not in FAMILIES:
        problems = Problems()
        problems.add("family", repr(family), f"one of {', '.join(FAMILIES)}")
        problems.raise_if_any(WeightsError, "no such family of promptable models")
