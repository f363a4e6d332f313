"""Where the voxels of a case come from: a NIfTI that a manifest can name, or something that becomes one.

Sizes are read from headers and checked before voxels are. ITK's world is LPS, NIfTI's is RAS: x and y change sign.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the name that its own documentation uses

from dgsweep.data.nifti import MAX_VOLUME_BYTES, UNREADABLE, case_error, is_nifti, read_volume_header

ITK_ENDINGS = (".mha", ".mhd", ".nrrd", ".nhdr")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Content(NamedTuple):
    """Voxels in the file's own order (i, j, k) and the affine (4, 4) to RAS mm."""

    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]


class Voxels(Protocol):
    """Voxels of one image or label map."""

    @property
    def path(self) -> Path:
        """File or folder where a person finds them."""

    @property
    def is_plain(self) -> bool:
        """Whether the path is one NIfTI volume that a manifest can name as it is."""

    def read(self) -> Content:
        """Read the voxels; CaseError when they cannot be read or are too many."""


@dataclass(frozen=True)
class VolumeFile:
    """One 3D volume: NIfTI, or MetaImage or NRRD, which become NIfTI."""

    path: Path

    @property
    def is_plain(self) -> bool:
        """Whether it is NIfTI."""
        return is_nifti(self.path)

    def read(self) -> Content:
        """See Voxels."""
        return _read_nifti(self.path) if is_nifti(self.path) else from_itk(_read_itk(self.path))


@dataclass(frozen=True)
class MergedLabel:
    """A label map of which every value but 0 is the one structure."""

    path: Path

    @property
    def is_plain(self) -> bool:
        """Never: it has to be written as NIfTI."""
        return False

    def read(self) -> Content:
        """See Voxels."""
        content = VolumeFile(self.path).read()
        return Content(array=(content.array != 0).astype(np.uint8), affine=content.affine)


@dataclass(frozen=True)
class Channel:
    """One volume of a 4D NIfTI."""

    path: Path
    index: int

    @property
    def is_plain(self) -> bool:
        """Never: it has to be written as NIfTI."""
        return False

    def read(self) -> Content:
        """See Voxels."""
        return _read_nifti(self.path, self.index)


@dataclass(frozen=True)
class DicomSeries:
    """The one image series of a folder, or one of several by its id."""

    path: Path
    series: str = ""

    @property
    def is_plain(self) -> bool:
        """Never: it has to be written as NIfTI."""
        return False

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Files along the slice normal, as GDCM orders them by position."""
        found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(self.path))
        wanted = [self.series] if self.series in found else list(found)
        if len(wanted) != 1:
            told = f"{len(found)} DICOM series" if found else "no DICOM series"
            raise case_error(self.path, told, "expected one series a folder")
        return tuple(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(self.path), wanted[0]))

    def read(self) -> Content:
        """See Voxels."""
        return from_itk(self.image())

    def image(self) -> sitk.Image:
        """The series as one volume."""
        files = self.files
        _check_size(self.path, (*_size(Path(files[0]))[:2], len(files)))
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        try:
            return reader.Execute()
        except RuntimeError as error:
            raise _damaged(self.path, error) from error


@dataclass(frozen=True)
class SliceMasks:
    """Masks of one PNG a slice that lie on a DICOM series; the k-th by name belongs to the k-th DICOM file by name."""

    path: Path
    series: DicomSeries
    classes: Mapping[int, tuple[int, int]]
    """Value of the label map -> first and last grey value of the PNGs."""

    @property
    def is_plain(self) -> bool:
        """Never: it has to be written as NIfTI."""
        return False

    def read(self) -> Content:
        """See Voxels."""
        pngs = sorted((file for file in self.path.iterdir() if file.suffix.lower() == ".png"), key=_by_number)
        by_name = sorted(self.series.files, key=lambda name: _by_number(Path(name)))
        if len(pngs) != len(by_name):
            found = f"{len(pngs)} masks for {len(by_name)} slices of {self.series.path.name}"
            raise case_error(self.path, found, "expected one PNG a DICOM file")
        image = self.series.image()
        of_slice = dict(zip(by_name, pngs, strict=True))
        grey = np.stack([self._slice(of_slice[name], image.GetSize()[:2]) for name in self.series.files])
        mask = np.zeros(grey.shape, dtype=np.uint8)
        for value, (first, last) in self.classes.items():
            mask[(grey >= first) & (grey <= last)] = value
        labels = sitk.GetImageFromArray(mask)
        labels.CopyInformation(image)
        return from_itk(labels)

    def _slice(self, png: Path, size: Sequence[int]) -> npt.NDArray[Any]:
        if _size(png)[:2] != tuple(size):
            raise case_error(png, f"{_size(png)[:2]} pixels for a slice of {tuple(size)}", "expected one pixel a voxel")
        grey = sitk.GetArrayFromImage(_read_itk(png))
        return grey[..., 0] if grey.ndim == 3 else grey


@dataclass(frozen=True)
class LabelOnSeries:
    """A label map whose header does not place it: slices in the order of the DICOM file names, rows from below."""

    path: Path
    series: DicomSeries

    @property
    def is_plain(self) -> bool:
        """Never: it has to be written as NIfTI."""
        return False

    def read(self) -> Content:
        """See Voxels."""
        image, files = self.series.image(), self.series.files
        array = _read_nifti(self.path).array
        if array.shape != image.GetSize():
            raise case_error(self.path, f"{array.shape} voxels for a scan of {image.GetSize()}", "expected the same")
        rank = {name: number for number, name in enumerate(sorted(files, key=lambda name: _by_number(Path(name))))}
        turned = array[:, ::-1, [rank[name] for name in files]]
        return Content(array=turned, affine=from_itk(image).affine)


def from_itk(image: sitk.Image) -> Content:
    """Voxels (i, j, k) and RAS affine of an ITK image."""
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Content(array=sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine=_LPS_TO_RAS @ affine)


def volume(path: Path) -> Voxels | None:
    """A volume file by its name; None for anything else."""
    return VolumeFile(path) if is_nifti(path) or path.name.lower().endswith(ITK_ENDINGS) else None


def channels(path: Path) -> int:
    """Number of volumes in a NIfTI, from its header: 1 for a 3D one."""
    return read_volume_header(path)[1]


def _read_nifti(path: Path, index: int = 0) -> Content:
    """One volume, unscaled integers kept where the header scales by nothing."""
    grid, count = read_volume_header(path)
    if index >= count:
        raise case_error(path, f"{count} volumes", f"expected at least {index + 1}")
    try:
        data = nib.load(path).dataobj
        array = np.asarray(data).reshape((*grid.shape, count)) if count == 1 else np.asarray(data[..., index])
    except UNREADABLE as error:
        raise _damaged(path, error) from error
    return Content(array=array.reshape(grid.shape), affine=grid.matrix)


def _read_itk(path: Path) -> sitk.Image:
    _check_size(path, _size(path))
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise _damaged(path, error) from error


def _size(path: Path) -> tuple[int, ...]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _damaged(path, error) from error
    return tuple(int(length) for length in reader.GetSize())


def _check_size(path: Path, size: Sequence[int]) -> None:
    declared = int(np.prod([int(length) for length in size], dtype=object)) * 4
    if declared > MAX_VOLUME_BYTES:
        found = f"the header declares {tuple(size)} voxels, {declared / 2**30:.1f} GiB as float32"
        raise case_error(path, found, f"at most {MAX_VOLUME_BYTES / 2**30:.1f} GiB are read")


def _damaged(path: Path, error: BaseException) -> Exception:
    last = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return case_error(path, f"it cannot be read ({last})", "copy the file again; it is cut or damaged")


def _by_number(path: Path) -> tuple[list[int], str]:
    """IMG-0004-00010 after IMG-0004-00002."""
    return [int(digits) for digits in re.findall(r"\d+", path.stem)], path.name
