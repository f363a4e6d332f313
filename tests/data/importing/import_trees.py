"""Small trees in the layouts that data sets are published in, as their own pages describe them."""

import json
import locale
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

SHAPE = (6, 5, 4)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, -1.5, 0, 20], [0, 0, 4.0, -12], [0, 0, 0, 1]])


def nifti(path: Path, *, label: bool = False, shape=SHAPE, values=(0, 1), name: str = "") -> Path:
    """A volume whose voxels all differ, or a label map with these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = int(np.prod(shape))
    if label:
        array = np.zeros(shape, dtype=np.uint8)
        array.flat[: len(values)] = values
    else:
        array = np.arange(size, dtype=np.int16).reshape(shape)
    image = nib.Nifti1Image(array, AFFINE)
    image.header["descrip"] = name.encode()
    nib.save(image, path)
    return path


def pairs(root: Path, *names: str, label_names: tuple[str, ...] = ()) -> Path:
    for name in names:
        nifti(root / name)
    for name in label_names:
        nifti(root / name, label=True)
    return root


def dataset_json(root: Path, **content) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))


def dicom(
    folder: Path, *, slices: int = 4, prefix: str = "IMG-0001-", backwards: bool = False, series: str = "1"
) -> Path:
    """An MR series of 6 x 5 pixels, 2 x 1.5 x 4 mm; the first file by name lies at the top when `backwards`."""
    folder.mkdir(parents=True, exist_ok=True)
    before = locale.setlocale(locale.LC_ALL)  # GDCM's writer leaves the process with the locale C
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(slices):
        array = np.full((5, 6), 10 * number, dtype=np.int16) + np.arange(6, dtype=np.int16)
        array[0] += 1000
        image = sitk.GetImageFromArray(array[None])
        image.SetSpacing((2.0, 1.5, 4.0))
        place = -4.0 * number if backwards else 4.0 * number
        tags = {
            "0008|0060": "MR", "0010|0010": "Planted^Name", "0010|0020": "MRN-4711",
            "0020|000d": "1.2.3", "0020|000e": f"1.2.3.{series}", "0008|0018": f"1.2.3.{series}.{number}",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4", "0020|0013": str(number + 1),
            "0020|0032": f"-10\\-20\\{place}", "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": "4",
        }  # fmt: skip
        for tag, text in tags.items():
            image.SetMetaData(tag, text)
        writer.SetFileName(str(folder / f"{prefix}{number + 1:05d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)
    return folder


def png(path: Path, value: int, *, size=(5, 6), at=(0, 0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(size, dtype=np.uint8)
    array[at] = value
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
