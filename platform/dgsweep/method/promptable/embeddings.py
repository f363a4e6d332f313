"""Image embeddings of one case: made once, shared by every prompt protocol, kept in a safetensors file."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dgsweep.method.promptable.record import replace_file
from dgsweep.method.promptable.slices import VERSION, Preparation

KEY = "dgsweep_embeddings_key"
POSITION = "position"


@dataclass
class Embeddings:
    """What the image encoder made of the slices of one case, on the processor's memory."""

    key: str
    """Of `embeddings_key`: embeddings of another key are those of another image, model or preprocessing."""
    maps: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)
    """Slice z -> feature maps (C, h, w), finest first: one for SAM and MedSAM, three for SAM 2 and MedSAM2."""
    position: Tensor | None = None
    """(h * w, 1, C), positional encoding of the coarsest map, which SAM 2's memory needs; the same in every slice."""

    def missing(self, slices: Iterable[int]) -> list[int]:
        """Those of the slices that are still to be encoded, ascending."""
        return sorted(set(slices) - set(self.maps))

    def save(self, path: Path) -> None:
        """Replace `path` by this content through a temporary file beside it, making parent folders."""
        from safetensors.torch import save_file

        named = {f"{z}.{level}": level_map for z, maps in self.maps.items() for level, level_map in enumerate(maps)}
        if self.position is not None:
            named[POSITION] = self.position
        whole = {name: tensor.contiguous() for name, tensor in named.items()}
        replace_file(path, lambda part: save_file(whole, part, metadata={KEY: self.key}))

    @classmethod
    def load(cls, path: Path, key: str) -> "Embeddings":
        """Read what was kept under this key; empty where there is no file, a broken one, or one of another key."""
        from safetensors import SafetensorError, safe_open

        made = cls(key=key)
        if not path.is_file():
            return made
        try:
            with safe_open(path, framework="pt") as kept:
                if (kept.metadata() or {}).get(KEY) == key:
                    made._fill({name: kept.get_tensor(name) for name in kept.keys()})  # noqa: SIM118
        except SafetensorError:
            return cls(key=key)  # cut off by a full disk: it is made again
        return made

    def _fill(self, named: dict[str, Tensor]) -> None:
        self.position = named.pop(POSITION, None)
        levels: dict[int, dict[int, Tensor]] = {}
        for name, tensor in named.items():
            z, level = (int(part) for part in name.split("."))
            levels.setdefault(z, {})[level] = tensor
        self.maps = {z: tuple(maps[level] for level in sorted(maps)) for z, maps in sorted(levels.items())}


def embeddings_key(
    volume: npt.NDArray[Any],
    *,
    weights_sha256: str,
    family: str,
    image_size: int,
    device: str,
    preparation: Preparation,
) -> str:
    """SHA-256 of all that the embeddings of a case depend on.

    Args:
        volume: (X, Y, Z); its shape, number type and voxels count.
        weights_sha256: Of the weights file.
        family: `sam`, `medsam`, `sam2` or `medsam2`.
        image_size: Side of the model's image in pixels.
        device: Type of the device, `cpu` or `cuda`: the latter computes in bfloat16.
        preparation: Percentiles and view; the version of this package's preprocessing counts too.
    """
    facts: Sequence[object] = (
        *(VERSION, weights_sha256, family, image_size, device, asdict(preparation)),
        *(list(volume.shape), volume.dtype.str),
    )
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(volume).tobytes())
    return digest.hexdigest()
