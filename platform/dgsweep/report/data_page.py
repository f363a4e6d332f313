"""The page of a data check: a picture of every case, intensities by domain, and what was found. Opens offline."""

import base64
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

import dgsweep
from dgsweep.data.case_facts import BINS, CaseFacts, structure_masks
from dgsweep.data.check import CheckResult
from dgsweep.data.geometry import Volume
from dgsweep.data.manifest import Case
from dgsweep.report.figures import DASHES, PALETTE
from dgsweep.report.overlays import outline

MOST_PICTURES = 400
"""Of about 15 kB each; further cases stand in the table without one."""
OUTLINES = ("#F0E442", "#56B4E9", "#D55E00", "#CC79A7", "#009E73")


class Pictures:
    """Draws each case that a check shows it: the axial slice in which the structures are largest."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self.left_out = 0

    def __call__(self, case: Case, volume: Volume, label: NDArray[np.int32] | None) -> None:
        """Take one case; only its picture is kept."""
        if len(self.of) >= MOST_PICTURES:
            self.left_out += 1
            return
        self.of[case.info.case_id] = draw_case(volume, structure_masks(case, label))


def draw_case(volume: Volume, structures: Mapping[str, NDArray[np.bool_]]) -> str:
    """PNG data URI of one axial slice with an outline of each structure, the patient's right on the left."""
    area = sum(
        (mask.sum(axis=(0, 1)) for mask in structures.values()), start=np.zeros(volume.array.shape[2], dtype=np.int64)
    )
    index = int(np.argmax(area)) if area.any() else volume.array.shape[2] // 2
    plane = volume.array[:, :, index].T
    low, high = np.percentile(volume.array, (1, 99.5))
    x, y, _ = volume.spacing_mm
    tall = plane.shape[0] * y / (plane.shape[1] * x)
    canvas = Canvas(figsize=(1.9, 1.9 * min(max(tall, 0.5), 1.6)), dpi=100, facecolor="black")
    axes = canvas.add_axes((0, 0, 1, 1), frame_on=False, xticks=[], yticks=[])
    axes.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower", aspect=y / x)
    axes.autoscale(False)
    for number, mask in enumerate(structures.values()):
        outline(axes, mask[:, :, index].T, OUTLINES[number % len(OUTLINES)], width=0.9)
    axes.invert_xaxis()
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", facecolor="black", pil_kwargs={"optimize": True})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def data_page(result: CheckResult, pictures: Pictures, *, name: str) -> str:
    """The page as one HTML document."""
    environment = Environment(
        loader=PackageLoader("dgsweep.report", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    findings: dict[str, list[str]] = defaultdict(list)
    for finding in result.findings:
        findings[finding.case_id].append(f"{finding.severity}: {finding.found}")
    counts = pd.Series([finding.severity for finding in result.findings], dtype=object).value_counts()
    return environment.get_template("data_check.html.j2").render(
        name=name, version=dgsweep.__version__, cases=result.cases, counts=dict(counts.items()),
        findings=result.findings, domains=_domains(result.facts), figures=_figures(result.facts),
        pictures=pictures.of, left_out=pictures.left_out, facts=sorted(result.facts, key=lambda one: one.domain),
        said=findings, outlines=_outlined_names(result.facts), plotly=get_plotlyjs() if result.facts else "",
    )  # fmt: skip


def _outlined_names(facts: Sequence[CaseFacts]) -> list[tuple[str, str]]:
    names = list(dict.fromkeys(name for one in facts for name in one.volumes_ml))
    return [(name, OUTLINES[number % len(OUTLINES)]) for number, name in enumerate(names)]


def _domains(facts: Sequence[CaseFacts]) -> list[dict[str, Any]]:
    """One row a domain: how many, how large, how bright."""
    rows = []
    for domain, members in _by_domain(facts).items():
        spacing = np.array([one.spacing_mm for one in members])
        volumes = [sum(one.volumes_ml.values()) for one in members if one.volumes_ml]
        rows.append(
            {
                "domain": domain, "patients": len({one.patient_id for one in members}), "cases": len(members),
                "labelled": len(volumes), "spacing": " × ".join(_range(spacing[:, axis]) for axis in range(3)),
                "intensities": f"{min(one.low for one in members):g} to {max(one.high for one in members):g}",
                "volume": _range(np.array(volumes), 1) if volumes else "–",
                "axes": ", ".join(sorted({one.axes for one in members})),
            }
        )  # fmt: skip
    return rows


def _range(values: NDArray[np.float64], digits: int = 2) -> str:
    low, high = (f"{value:.{digits}f}" for value in (values.min(), values.max()))
    return low if low == high else f"{low}–{high}"


def _by_domain(facts: Sequence[CaseFacts]) -> Mapping[str, list[CaseFacts]]:
    of: dict[str, list[CaseFacts]] = defaultdict(list)
    for one in sorted(facts, key=lambda one: one.domain):
        of[one.domain].append(one)
    return of


def _figures(facts: Sequence[CaseFacts]) -> list[dict[str, str]]:
    """Mean histograms of each domain: of whole scans, and of the voxels of the structures."""
    whole = {domain: [one.histogram for one in members] for domain, members in _by_domain(facts).items()}
    organ = {
        domain: [one.organ_histogram for one in members if one.organ_histogram is not None]
        for domain, members in _by_domain(facts).items()
    }
    shown = [("All voxels", "whole", whole), ("Voxels of the structures", "organ", organ)]
    return [
        {"title": title, "key": key, "json": _lines(of)} for title, key, of in shown if any(of.values())
    ]  # fmt: skip


def _lines(of: Mapping[str, Sequence[NDArray[np.float64]]]) -> str:
    figure = go.Figure()
    middle = (BINS[:-1] + BINS[1:]) / 2
    for number, (domain, histograms) in enumerate((domain, some) for domain, some in of.items() if some):
        look = {"color": PALETTE[number % len(PALETTE)], "dash": DASHES[(number // len(PALETTE)) % len(DASHES)]}
        share = 100 * np.mean(histograms, axis=0)
        figure.add_trace(go.Scatter(x=middle.round(3), y=share.round(4), name=escape(domain), mode="lines", line=look))
    figure.update_layout(
        xaxis_title="intensity, standard deviations of the scan around its mean", yaxis_title="% of voxels",
        height=340, margin={"l": 55, "r": 10, "t": 10, "b": 50}, legend={"orientation": "h", "y": -0.25},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
    )  # fmt: skip
    return json.dumps(json.loads(figure.to_json())).replace("<", "\\u003c")
