"""The voxel grid of a file, and its closest right-anterior-superior (RAS) form."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine, voxel_sizes

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
FloatArray = npt.NDArray[np.float64]
_CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])


@dataclass(frozen=True, kw_only=True)
class NativeGrid:
    """The grid as it stands in the file: voxel axes in the file's own order, affine to world coordinates (RAS+, mm)."""

    shape: Shape
    """Voxels along the file's own three axes."""
    affine: tuple[tuple[float, float, float, float], ...]
    """4 x 4, voxel index of the file -> mm."""
    space_code: int = 2
    """NIfTI code of the world space (1 scanner, 2 aligned, ...)."""

    @property
    def matrix(self) -> FloatArray:
        """The affine as an array (4, 4)."""
        return np.array(self.affine, dtype=np.float64)

    @property
    def orientation(self) -> FloatArray:
        """Orientation (3, 2) as nibabel writes it: for each file axis the canonical axis and its direction."""
        return np.asarray(nib.orientations.io_orientation(self.matrix))

    @property
    def canonical_shape(self) -> Shape:
        """Voxels (x, y, z) after flips and permutations to closest RAS."""
        shape = [0, 0, 0]
        for length, (axis, _) in zip(self.shape, self.orientation, strict=True):
            shape[int(axis)] = length
        return shape[0], shape[1], shape[2]

    @property
    def canonical_affine(self) -> FloatArray:
        """4 x 4, voxel index in closest RAS -> mm."""
        return np.asarray(self.matrix @ nib.orientations.inv_ornt_aff(self.orientation, self.shape))

    @property
    def spacing_mm(self) -> Spacing:
        """Voxel size (x, y, z) in closest RAS, from the affine."""
        x, y, z = (float(size) for size in voxel_sizes(self.canonical_affine))
        return x, y, z

    def to_canonical(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Array in the file's voxel order -> (x, y, z) in closest RAS; only flips and permutations."""
        return np.ascontiguousarray(nib.orientations.apply_orientation(array, self.orientation))

    def from_canonical(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Inverse of `to_canonical`."""
        back = nib.orientations.ornt_transform(_CANONICAL, self.orientation)
        return np.ascontiguousarray(nib.orientations.apply_orientation(array, back))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; `NativeGrid.from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "NativeGrid":
        """Inverse of `to_json`."""
        x, y, z = plain["shape"]
        rows = tuple((row[0], row[1], row[2], row[3]) for row in plain["affine"])
        return cls(shape=(x, y, z), affine=rows, space_code=plain["space_code"])


def corner_distance_voxels(first: NativeGrid, second: NativeGrid) -> float:
    """Largest distance between equal corners of two grids of one canonical shape, in smallest sides of `first`."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    voxels = corners * (np.array(first.canonical_shape) - 1)
    apart = apply_affine(first.canonical_affine, voxels) - apply_affine(second.canonical_affine, voxels)
    return float(np.linalg.norm(apart, axis=1).max() / min(first.spacing_mm))
