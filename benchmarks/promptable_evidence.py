"""The section of docs/method-evidence.md on promptable models: what the small one of ours answers, zero-shot."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evidence
import numpy as np
import pandas as pd
from promptable_probe import ellipse

from dgsweep.analysis.frames import IN_DOMAIN, Level
from dgsweep.analysis.selection import selected_cases
from dgsweep.analysis.tables import matrix
from dgsweep.config.load import load_sweep
from dgsweep.config.prompt_protocol import parse_protocol
from dgsweep.config.schema import SweepConfig
from dgsweep.data.geometry import read_label, read_volume
from dgsweep.data.manifest import read_manifest
from dgsweep.records.ledger import Ledger

FOUND = 0.3
"""Dice under which a model that is told where the structure lies cannot be said to find it."""
HEADING = "## Promptable, zero-shot"
ELLIPSE, BOXED = "no model: ellipses", "per_slice_box"
NOT_RUN = """**Not run, because no weights of the SAM family can be had here:** SAM, MedSAM, SAM 2 and MedSAM2 with
their published weights, on any data. Their code is compared with the original packages on random weights, at the
published image sizes of SAM 2 and MedSAM2 too (`tests/promptable`); whoever has a checkpoint registers it with `dgsweep
weights add` and names the same methods. `sam` and `medsam` have no row here: the small model has SAM 2's layout, which
is not theirs.
"""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep of promptable models and how its table is laid out."""

    name: str
    says: str
    columns: dict[str, str]
    """Target as the analysis names it -> head of the column."""
    home: str
    """The column of the trained method's own domain."""
    by: Level


SWEEPS = (
    Sweep(
        name="promptable",
        says=(
            "Phantom, test patients. The weights have learned from T1W of training patients; OOP and T2W are unseen. "
            "Voxels are 3 mm wide, so that a jitter of 10 takes many a box off the pancreas."
        ),
        columns={"T1W": "T1W", "OOP": "OOP", "T2W": "T2W"},
        home="T1W",
        by="sequence",
    ),
    Sweep(
        name="promptable_real",
        says=(
            "Real scans, none of which the weights have seen (nor any real scan): prostate in T2w MR and ultrasound "
            "(UCL, blurred by their authors), T2w and DWI (Berlin); pancreas in one MR and one CT of 3 mm "
            "(TotalSegmentator; no window is set, so the CT's soft tissue is nearly black). `erm` is trained on five "
            "of UCL's MR, to have predictions at all."
        ),
        columns={
            "UCL/MR-T2w": "prostate MR (9)",
            "UCL/TRUS": "prostate US (9)",
            "Berlin-Charite/T2w": "prostate T2w (4)",
            "Berlin-Charite/DWI": "prostate DWI (2)",
            "TotalSegmentator/MR": "pancreas MR (1)",
            "TotalSegmentator/CT": "pancreas CT (1)",
        },
        home="UCL/MR-T2w",
        by="domain",
    ),
)


def main() -> None:
    """Replace the section, which is the page's last one."""
    page = (evidence.ROOT / "docs" / "method-evidence.md").read_text(encoding="utf-8")
    before = page.partition(HEADING)[0].rstrip("\n") + "\n"
    (evidence.ROOT / "docs" / "method-evidence.md").write_text(before + "".join(section()), encoding="utf-8")


def section() -> Iterator[str]:
    """Heading, tables and words."""
    yield f"\n{HEADING}\n\n"
    yield (
        "**The weights are a small model of ours, not MedSAM2 nor SAM 2**: SAM 2's video architecture with 3 million "
        f"parameters at 128 x 128, trained from scratch {_trained()} on T1W scans of the phantom's training patients, "
        "and on no other sequence, patient or real scan (`make promptable`). As SAM was, it is trained on anything: of "
        "the objects that its boxes, points and short stacks ask for, a quarter are the pancreas; the others are "
        "connected regions of like intensity, which need no label, and smooth shapes pasted into the image. Contrasts "
        "are inverted and remapped by random curves, since it could not be expected to answer on another sequence "
        "otherwise. Registered under both families: `medsam2` carries prompts through the scan, `sam2` answers slice "
        "by slice (but under `keyslice_propagate`). It shows the path from checkpoint to scored mask, nothing about "
        "the published models.\n\n"
        "Mean Dice [95 % interval over patients; one patient has none]. All prompts but `predicted_box` are made of "
        f"the reference: oracles, marked so. A tight box tells a lot by itself: the row `{ELLIPSE}` draws an ellipse "
        "into each slice's box and sees no image. Unfinished cells are marked.\n\n"
    )
    yield _probed()
    for sweep in SWEEPS:
        yield from _table(sweep)
    yield NOT_RUN


def _words(found: pd.DataFrame, drawn: pd.DataFrame, sweep: Sweep) -> Iterator[str]:
    """The best oracle of every column, whether it is worth more than its boxes, and where it finds next to nothing."""
    if found.empty:
        return
    oracles = found[found["panel"] == "oracle"]
    best = {head: oracles[oracles["target"] == target]["mean"].max() for target, head in sweep.columns.items()}
    known = {head: float(mean) for head, mean in best.items() if pd.notna(mean)}
    listed = ", ".join(f"{head} {mean:.2f}" for head, mean in known.items())
    yield f"Best of the oracle prompts that have run: {listed}. "
    if not drawn.empty:
        ellipses = {head: drawn[drawn["target"] == target]["mean"].max() for target, head in sweep.columns.items()}
        above = [head for head, mean in known.items() if round(mean, 2) > round(ellipses[head], 2)]
        yield f"Above the ellipses: {', '.join(above) or 'none'}. "
    own = oracles[oracles["target"] == next(iter(sweep.columns))]
    carried, boxed = (own[own["arm"].astype(str).str.contains(f"medsam2 (prompt={p})", regex=False)]["mean"].max()
                      for p in ("keyslice_propagate", BOXED))  # fmt: skip
    if carried < boxed / 2:
        yield "Carried on from one slice, the structure is soon lost: the memory has learned on stacks of four slices. "
    lost = [head for head, mean in known.items() if mean < FOUND]
    yield f"**Not carried over** (below {FOUND:.1f} whichever of them): {', '.join(lost) or 'none'}.\n\n"


def _facts() -> dict[str, Any]:
    """What `promptable.register` kept of the training; empty before."""
    place = evidence.ROOT / "runs" / "promptable" / "trained.json"
    facts: dict[str, Any] = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    return facts


def _trained() -> str:
    if not (facts := _facts()):
        return "(not yet)"
    plans = facts["planned_steps"]
    planned = f", its learning rate planned over {', then '.join(map(str, plans))},"
    changed = planned if plans != [facts["steps"]] else ""
    return f"for {facts['steps']} steps{changed} in {facts['cpu_s'] / 60:.0f} minutes of one core"


def _probed() -> str:
    """How far the prompt was heeded in training, by the last probe."""
    if not (probes := _facts().get("probes")):
        return ""
    last = probes[max(probes, key=int)]
    return (
        f"Does it heed the prompt? Slices of T1W of validation patients, in the model's pixels: tight box "
        f"{last['box']:.2f}, jittered box {last['jittered']:.2f}, centre point {last['point']:.2f}, ellipse in the "
        f"tight box {last['ellipse']:.2f}.\n\n"
    )


def _table(sweep: Sweep) -> Iterator[str]:
    config = load_sweep(evidence.SWEEPS / f"{sweep.name}.yaml")
    found = _read(config, sweep.by)
    drawn = _read(config, sweep.by, drawn=True)
    yield f"{sweep.says} [The sweep](../examples/evidence/{sweep.name}.yaml).\n\n"
    yield f"| method | prompt | oracle | {' | '.join(sweep.columns.values())} |\n"
    yield f"|---|---|---|{'---|' * len(sweep.columns)}\n"
    for method, prompt, oracle in _rows(config):
        cells = [_cell(found, method, prompt, target, sweep) for target in sweep.columns]
        yield f"| {method} | {prompt or '-'} | {oracle} | {' | '.join(cells)} |\n"
    cells = [_cell(drawn, "", "", target, sweep) for target in sweep.columns]
    yield f"| {ELLIPSE} | {BOXED} | yes | {' | '.join(cells)} |\n\n"
    yield from _words(found, drawn, sweep)


def _rows(config: SweepConfig) -> Iterator[tuple[str, str, str]]:
    """Method, label of the prompt and whether that is an oracle, as the sweep file asks for them."""
    for method in config.methods:
        if not method.prompts:
            yield f"`{method.name}` (trained, {config.budget.steps} steps)", "", ""
        for prompt in method.prompts or ():
            protocol = parse_protocol(prompt)
            yield f"`{method.name}` (ours, small)", protocol.label, "yes" if protocol.oracle else "no"


def _read(config: SweepConfig, by: Level, *, drawn: bool = False) -> pd.DataFrame:
    """The ledger's table; empty where nothing has run. No plan is made, since that needs the weights.

    Args:
        config: Of the sweep.
        by: What a column is.
        drawn: Have ellipses instead of what a model answered to the tight boxes.
    """
    ledger = Ledger(Path(evidence.ROOT / config.output))
    if not ledger.files.plan.exists():
        return pd.DataFrame()
    plan = ledger.read_plan()
    cases = selected_cases("source_val", plan, ledger.cases_frame(plan), ledger.curves_frame(plan))
    if drawn and not cases.empty:
        cases = cases[(cases["prompt"] == BOXED) & (cases["method"] == "sam2")]
        dice = _ellipses(config, set(cases["case_id"]))
        cases = cases.assign(dice=cases["case_id"].map(dice).astype(float))
    return pd.DataFrame() if cases.empty else matrix(cases, plan, by=by)


def _ellipses(config: SweepConfig, case_ids: set[str]) -> dict[str, float]:
    """Case -> Dice of ellipses in the boxes of the reference's slices."""
    read = read_manifest(evidence.ROOT / config.data.manifest, config.data)
    found = {}
    for case in read.cases:
        if case.info.case_id in case_ids and case.label is not None:
            mask = read_label(case.label, read_volume(case.image).native) == 1
            drawn = np.zeros_like(mask)
            for z in np.flatnonzero(mask.any(axis=(0, 1))):
                drawn[:, :, z] = ellipse(mask[:, :, z])
            found[case.info.case_id] = float(2 * (mask & drawn).sum() / (mask.sum() + drawn.sum()))
    return found


def _cell(found: pd.DataFrame, method: str, prompt: str, target: str, sweep: Sweep) -> str:
    if found.empty:
        return evidence.UNFINISHED
    own = found
    if method:
        name = method.split("`")[1]
        own = found[found["arm"].astype(str) == (f"{name} (prompt={prompt})" if prompt else name)]
    chosen: Any = own[own["target"] == target]
    if chosen.empty and target == sweep.home:
        chosen = own[(own["role"] == "in_domain") | (own["target"] == IN_DOMAIN)]
    if chosen.empty:
        return evidence.UNFINISHED
    row = chosen.iloc[0]
    return evidence.dice_text(row) if pd.notna(row["low"]) else f"{row['mean']:.2f}"


if __name__ == "__main__":
    main()
