"""The phantom on disk: which patient is where, one case, and the folder with its manifest."""

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.ndimage import label as connected_parts

from dgsweep.data.phantom.acquisition import CENTERS, SEQUENCES, Center, noise_sigma, noiseless, receive
from dgsweep.data.phantom.anatomy import tissue_fractions
from dgsweep.data.phantom.shapes import Volume, waves
from dgsweep.data.phantom.tissues import INDEX, patient_tissues
from dgsweep.errors import InputError, Problems

RECIPE = 1
"""Raised whenever the same spec would give other images, so that an old folder is not taken for a new one."""

FIELD_OF_VIEW_STEP_MM = 3.0
COLUMNS = ("case_id", "patient_id", "image", "label", "center", "sequence", "vendor", "field_t")


@dataclass(frozen=True, kw_only=True)
class PhantomSpec:
    """What to make; `shape` x 3 mm is the field of view, which every center samples with a spacing of its own."""

    patients_per_center: int = 6
    centers: int = 4
    shape: tuple[int, int, int] = (96, 80, 48)
    sequences: tuple[str, ...] = ("T1W", "OOP", "T2W")
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise InputError, naming every field that is out of range."""
        wrong = Problems()
        if not 1 <= self.centers <= len(CENTERS):
            wrong.add("centers", str(self.centers), f"expected 1 to {len(CENTERS)}")
        if not 1 <= self.patients_per_center <= 999 // len(CENTERS):
            wrong.add("patients_per_center", str(self.patients_per_center), f"expected 1 to {999 // len(CENTERS)}")
        if len(self.shape) != 3 or not all(16 <= n <= 256 for n in self.shape):
            wrong.add("shape", str(self.shape), "expected three numbers x,y,z of 16 to 256")
        repeated = len(set(self.sequences)) < len(self.sequences)
        if not self.sequences or repeated or set(self.sequences) - set(SEQUENCES):
            wrong.add("sequences", str(self.sequences), f"expected some of {', '.join(SEQUENCES)}, each once")
        if self.seed < 0:
            wrong.add("seed", str(self.seed), "expected 0 or more")
        wrong.raise_if_any(InputError, "this phantom cannot be made")

    @property
    def patients(self) -> range:
        """Numbers of the patients, from 1."""
        return range(1, self.patients_per_center * self.centers + 1)


def patient_name(patient: int) -> str:
    """P001 for patient 1."""
    return f"P{patient:03d}"


def center_of(spec: PhantomSpec, patient: int) -> Center:
    """The center of a patient; centers take turns, so that more patients move nobody."""
    return CENTERS[(patient - 1) % spec.centers]


def make_case(
    spec: PhantomSpec, patient: int, sequence: str
) -> tuple[Volume, NDArray[np.uint8], tuple[float, float, float]]:
    """Image (x, y, z) float32, label (x, y, z) with pancreas = 1, spacing in mm, of patient number `patient` (from 1).

    Raises InputError for a patient or sequence that `spec` does not have.
    """
    if patient not in spec.patients or sequence not in spec.sequences:
        last = patient_name(spec.patients[-1])
        raise InputError(
            f"phantom: no case of patient {patient} in {sequence}; this phantom has P001 to {last} "
            f"in {', '.join(spec.sequences)}"
        )
    fractions = case_fractions(spec, patient)
    return _image(spec, patient, sequence, fractions), _label(fractions), center_of(spec, patient).spacing_mm


def write_phantom(out: Path, spec: PhantomSpec, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the phantom to the folder `out` and return its manifest; `progress(done, total)` is called after each case.

    The folder appears complete or not at all. One that holds the same phantom is left as it is; one that holds
    anything else raises InputError.
    """
    if _already_there(out, spec):
        return out / "manifest.csv"
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        _fill(work, spec, progress)
        _publish(work, out, spec)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out / "manifest.csv"


def _rng(spec: PhantomSpec, patient: int, purpose: str) -> np.random.Generator:
    # Hashed, not spawned: a stream depends on who and what for, never on how many others there are.
    key = hashlib.sha256(f"dgsweep phantom/{spec.seed}/{patient}/{purpose}".encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(key, "little")))


def _axes_mm(spec: PhantomSpec, center: Center) -> tuple[Volume, Volume, Volume]:
    pairs = zip(spec.shape, center.spacing_mm, strict=True)
    x, y, z = (_axis_mm(n * FIELD_OF_VIEW_STEP_MM, step) for n, step in pairs)
    return x, y, z


def _axis_mm(extent_mm: float, step_mm: float) -> Volume:
    count = round(extent_mm / step_mm)
    return ((np.arange(count) - (count - 1) / 2) * step_mm).astype(np.float32)


def case_fractions(spec: PhantomSpec, patient: int) -> Volume:
    """Tissue fractions (tissue, x, y, z) of a patient on the grid of its center."""
    center = center_of(spec, patient)
    voxel_mm = float(np.cbrt(np.prod(center.spacing_mm)))
    return tissue_fractions(_axes_mm(spec, center), voxel_mm, _rng(spec, patient, "anatomy"))


def _label(fractions: Volume) -> NDArray[np.uint8]:
    inside = fractions[INDEX["pancreas"]] >= 0.5
    parts, count = connected_parts(inside)
    if count > 1:
        inside = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return inside.astype(np.uint8)


def _image(spec: PhantomSpec, patient: int, sequence: str, fractions: Volume) -> Volume:
    center = center_of(spec, patient)
    settings = center.sequences[sequence]
    axes = _axes_mm(spec, center)
    signal = noiseless(fractions, center, settings, patient_tissues(_rng(spec, patient, "tissues")))
    # Parenchyma is never uniform: 3 % (1 SD) of texture that belongs to the person, so alike in all sequences.
    grid = np.meshgrid(*axes, indexing="ij")
    texture = 1 + np.float32(0.03) * waves(grid[0], grid[1], grid[2], _rng(spec, patient, "texture"), (12.0, 30.0))
    return receive(
        signal * texture, axes, center, noise_sigma(center, settings), _rng(spec, patient, f"scan/{sequence}")
    )


def _record(spec: PhantomSpec) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(spec)))
    return {"recipe": RECIPE, "spec": plain}


def _already_there(out: Path, spec: PhantomSpec) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    found = _read_record(out / "phantom.json")
    if found == _record(spec) and (out / "manifest.csv").is_file():
        return True
    held = f"another phantom ({json.dumps(found)})" if found is not None else "something that is not a phantom"
    raise InputError(
        f"phantom: {out} holds {held}, expected an empty or new folder, or the phantom {json.dumps(_record(spec))}; "
        "choose another folder or remove this one"
    )


def _read_record(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _fill(work: Path, spec: PhantomSpec, progress: Callable[[int, int], None] | None) -> None:
    for folder in ("images", "labels"):
        (work / folder).mkdir()
    rows = []
    total = len(spec.patients) * len(spec.sequences)
    for patient in spec.patients:
        fractions = case_fractions(spec, patient)
        for sequence in spec.sequences:
            rows.append(_write_case(work, spec, (patient, sequence), fractions))
            if progress is not None:
                progress(len(rows), total)
    _write_texts(work, spec, rows)


def _write_case(work: Path, spec: PhantomSpec, case: tuple[int, str], fractions: Volume) -> dict[str, str]:
    patient, sequence = case
    center = center_of(spec, patient)
    case_id = f"{patient_name(patient)}_{sequence}"
    image = np.clip(np.rint(_image(spec, patient, sequence, fractions)), 0, np.iinfo(np.int16).max).astype(np.int16)
    places = {"image": f"images/{case_id}.nii.gz", "label": f"labels/{case_id}.nii.gz"}
    _save(work / places["image"], image, spec, center)
    _save(work / places["label"], _label(fractions), spec, center)
    return {
        "case_id": case_id,
        "patient_id": patient_name(patient),
        **places,
        "center": center.name,
        "sequence": sequence,
        "vendor": center.vendor,
        "field_t": str(center.field_t),
    }


def _save(path: Path, voxels: NDArray[np.int16] | NDArray[np.uint8], spec: PhantomSpec, center: Center) -> None:
    # RAS: all three axes rise, and the first voxel lies at the low corner.
    affine = np.diag([*center.spacing_mm, 1.0])
    affine[:3, 3] = [axis[0] for axis in _axes_mm(spec, center)]
    picture = nibabel.Nifti1Image(voxels, affine)
    picture.header.set_xyzt_units("mm")
    nibabel.save(picture, path)


def _write_texts(work: Path, spec: PhantomSpec, rows: list[dict[str, str]]) -> None:
    with (work / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    about = {"name": "dgsweep physics phantom", "licence": "CC0-1.0", "labels": {"background": 0, "pancreas": 1}}
    (work / "dataset.yaml").write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")
    (work / "phantom.json").write_text(json.dumps(_record(spec), indent=2) + "\n", encoding="utf-8")


def _publish(work: Path, out: Path, spec: PhantomSpec) -> None:
    work.chmod(0o755)  # mkdtemp makes a folder that only its owner can read
    for path in sorted(work.rglob("*")):
        if path.is_file():
            _flush(path)
    try:
        work.replace(out)
    except OSError:
        # Someone else may have finished the same phantom meanwhile; anything else is the caller's to know.
        if not _already_there(out, spec):
            raise


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
