"""Best, median and worst case per method and domain: three slices with both outlines, and a volume to turn."""

import base64
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dgsweep.report.boxes import box_around
from dgsweep.report.evidence import Evidence
from dgsweep.report.scenes import Scene, scene, share
from dgsweep.report.texts import method_name, number
from dgsweep.storage.files import exists, read_bytes
from dgsweep.storage.place import AnyPath

MOST = 90
"""Pictures in one page; more make it too heavy for a phone."""
REFERENCE, PREDICTION = "#E69F00", "#56B4E9"
AXES = ((0, "sagittal"), (1, "coronal"), (2, "axial"))
MARGIN_MM = 45.0
"""What is shown around the reference on each side."""

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """One picture, or why there is none. `uri` is a PNG data URI, `scene` the same case for the 3D view."""

    name: str
    """Of the method, with its network where there are several."""
    arm: str
    network: str
    source_set: str
    domain: str
    caption: str
    uri: str = ""
    scene: Scene | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Volumes:
    """A scan and two masks on its grid, each (x, y, z) in RAS order."""

    image: Array
    reference: Mask
    prediction: Mask
    spacing_mm: tuple[float, float, float]


def overlays(rows: pd.DataFrame, evidence: Evidence) -> tuple[list[Overlay], str]:
    """Pictures for annotated target rows of selected trials, and a note on what is not shown ('' when all is)."""
    if rows.empty:
        return [], "No case has been scored yet."
    if not evidence.files:
        return [], "The driver has noted no image files (cases.json), so no picture can be drawn."
    ranked = _ranked(rows)
    if ranked.empty:
        return [], "Every scored reference is empty, so there is no outline to compare with."
    wanted = list(_extremes(_with_prediction(ranked, evidence)))
    if not wanted:
        return [], _nothing_kept(evidence)
    note = f"Only the first {MOST} of {len(wanted)} pictures are shown." if len(wanted) > MOST else ""
    shown = wanted[:MOST]
    return [_overlay(row, what, evidence, share(len(shown))) for what, row in shown], note


def _nothing_kept(evidence: Evidence) -> str:
    kept = sorted({spec.output_keep for spec in evidence.plan.trials} - {"none"})
    if not kept:
        return "No prediction was kept (output_keep: none), so no picture can be drawn."
    return (
        f"The sweep keeps predictions (output_keep: {', '.join(kept)}), but none lies in trials/<id>/predictions now: "
        "they were deleted or not copied along, so no picture can be drawn."
    )


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and case with a reference (mean over structures), ranked by method, role and domain."""
    keys = ["arm", "network", "source_set", "role", "domain", "trial_id", "case_id"]
    cases = rows[~rows["empty_reference"].astype(bool)].groupby(keys, observed=True)["dice"].mean().reset_index()
    groups = cases.groupby(["arm", "network", "role", "domain"], observed=True)["dice"]
    return cases.assign(rank=groups.rank(method="first", ascending=False).astype(int), of=groups.transform("size"))


def _with_prediction(cases: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """The ranked cases whose mask exists."""
    paths = [evidence.ledger.paths(str(row.trial_id)).prediction(str(row.case_id)) for row in cases.itertuples()]
    kept = cases.assign(kept=evidence.ledger.each(exists, paths))
    return kept[kept["kept"]].assign(is_home=kept["role"] == "in_domain")


def _extremes(cases: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    for _, part in cases.sort_values("rank").groupby(["domain", "is_home", "arm", "network"], observed=True):
        middle = (part["rank"] - (part["of"] + 1) / 2).abs().to_numpy().argmin()
        picks = {"best": 0, "worst": len(part) - 1, "median": int(middle)}
        shown: set[int] = set()
        for what in ("best", "median", "worst"):
            if picks[what] not in shown:
                shown.add(picks[what])
                yield what, part.iloc[picks[what]]


def _overlay(row: "pd.Series[str]", what: str, evidence: Evidence, most_bytes: int) -> Overlay:
    caption = (
        f"{what} kept: Dice {number(float(row['dice']), 2)}, rank {row['rank']} of {row['of']}, "
        f"case {row['case_id']}, trained on {row['source_set']}{' (in-domain)' if row['is_home'] else ''}"
    )
    arm, network = str(row["arm"]), str(row["network"])
    empty = Overlay(
        name=method_name(arm, network, several_networks=evidence.several_networks),
        arm=arm,
        network=network,
        source_set=str(row["source_set"]),
        domain=str(row["domain"]),
        caption=caption,
    )
    try:
        found = volumes_of(str(row["trial_id"]), str(row["case_id"]), evidence)
        voxels = (found.image, found.reference, found.prediction, found.spacing_mm)
        return replace(empty, uri=draw(*voxels), scene=scene(*voxels, most_bytes))
    except Exception as error:  # noqa: BLE001 - whatever one scan does, it must not take the whole page down
        return replace(empty, problem=f"not drawn: {error or type(error).__name__}")


def volumes_of(trial_id: str, case_id: str, evidence: Evidence) -> Volumes:
    """The scan of a case, its reference and the mask that a trial kept; OSError or ValueError where one is no use."""
    files = evidence.files.get(case_id, {})
    # A domain may number its structures in its own way; older lists of scans do not say so.
    known = evidence.specs[trial_id].preprocessing.labels
    values = [(files.get("label_values") or {}).get(name, value) for name, value in known.items()]
    image, spacing = _read(Path(files.get("image") or ""))
    label, _ = _read(Path(files.get("label") or ""))
    mask, _ = _read(evidence.ledger.paths(trial_id).prediction(case_id))
    if not image.shape == label.shape == mask.shape:
        raise ValueError(f"image {image.shape}, label {label.shape}, mask {mask.shape} voxels")
    return Volumes(image=image, reference=np.isin(label, values), prediction=mask > 0, spacing_mm=spacing)


def _loaded(path: AnyPath) -> Any:
    """A mask that lies in an object store is read as a whole."""
    if isinstance(path, Path):
        return nib.load(path)
    return nib.Nifti1Image.from_bytes(gzip.decompress(read_bytes(path)))


def _read(path: AnyPath) -> tuple[Array, tuple[float, float, float]]:
    """Voxels (x, y, z) in RAS order and their size in mm."""
    if not exists(path):
        raise FileNotFoundError(f"{path.name or 'the file'} is not where it was when the sweep ran")
    canonical = nib.as_closest_canonical(_loaded(path))
    voxels = np.asarray(canonical.dataobj, dtype=np.float32)
    if voxels.size == np.prod(voxels.shape[:3]):  # one volume in four dimensions is read as three, as everywhere
        voxels = voxels.reshape(voxels.shape[:3])
    if voxels.ndim != 3:
        raise ValueError(f"{path.name} has {voxels.ndim} axes, 3 expected")
    x, y, z = (float(size) for size in canonical.header.get_zooms()[:3])
    return voxels, (x, y, z)


def draw(image: Array, reference: Mask, prediction: Mask, spacing_mm: tuple[float, float, float]) -> str:
    """PNG data URI of three slices through the reference's centroid; arrays are (x, y, z).

    The reference is a solid line and the prediction a dashed one, so that they differ without colour.
    """
    shown = reference if reference.any() else prediction
    centre = np.argwhere(shown).mean(axis=0).round().astype(int) if shown.any() else np.array(image.shape) // 2
    low, high = np.percentile(image, [1, 99.5])
    figure = Figure(figsize=(6.0, 2.1), dpi=100, facecolor="black")
    box = box_around(shown, spacing_mm, MARGIN_MM)
    for column, (axis, name) in enumerate(AXES):
        axes = figure.add_axes((column / 3 + 0.005, 0.02, 1 / 3 - 0.01, 0.86), frame_on=False, xticks=[], yticks=[])
        planes = [
            np.take(volume[box], centre[axis] - box[axis].start, axis=axis).T
            for volume in (image, reference, prediction)
        ]
        across, up = (spacing_mm[other] for other in range(3) if other != axis)
        axes.imshow(planes[0], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower", aspect=up / across)
        axes.autoscale(False)
        for plane, colour, line in ((planes[1], REFERENCE, "solid"), (planes[2], PREDICTION, "dashed")):
            outline(axes, plane, colour, line)
        axes.set_title(name, color="white", fontsize=8, pad=2, y=1.0)
        if axis != 0:
            axes.invert_xaxis()  # radiological: the patient's right on the left of the picture
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="black")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def outline(axes: Axes, plane: Mask, colour: str, line: str = "solid", width: float = 1.3) -> None:
    """Draw the border of `plane` (row, column) on axes that show it as an image.

    A rim of background makes one voxel thick planes drawable, and closes outlines at the edge of the picture.
    """
    if not plane.any():
        return
    rows, columns = plane.shape
    grid = np.arange(-1, columns + 1), np.arange(-1, rows + 1)
    axes.contour(*grid, np.pad(plane, 1).astype(float), levels=[0.5], colors=colour, linewidths=width, linestyles=line)
