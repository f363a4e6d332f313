"""The section of docs/method-evidence.md on unlabelled scans: a table for each share of labels, and what it says."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import evidence
import pandas as pd
from scipy.stats import binomtest

from dgsweep.analysis.frames import arm_name
from dgsweep.analysis.tables import method_table
from dgsweep.plan.trial import Plan, Setting, TrialSpec

NAME = "unlabelled"
TARGET = "T2W"
WORTH = 0.05
"""Dice from which a difference across sequences is called a gain, if its interval excludes zero too."""
BY_CHANCE = 0.025
"""Share of 95 % intervals that lie above zero where nothing is."""
CONVINCING = 0.05
KINDS = {"source": "T1W", "target_train": TARGET, "none": "-"}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row: a method with its setting, and what was measured at home and across; None while it has not run."""

    method: str
    setting: Setting
    panel: str
    home: dict[str, Any] | None
    across: dict[str, Any] | None

    @property
    def label(self) -> str:
        """The method, and what it starts from."""
        return f"`{self.method}`" + (f" from {self.setting.init_from}" if self.setting.init_from else "")

    @property
    def plain(self) -> bool:
        """Whether it is what others are compared with."""
        return self.method == "erm" and not self.setting.init_from


def section() -> Iterator[str]:
    """Heading, tables and words."""
    plan, ran, cases = evidence.selected(NAME)
    table = pd.DataFrame() if cases.empty else method_table(cases, ran)
    arms = [_arm(spec, table) for spec in plan.trials if spec.seed == plan.config["seeds"][0]]
    budget = plan.config["budget"]
    yield "## With unlabelled scans\n\n"
    yield (
        f"[The sweep](../examples/evidence/{NAME}.yaml): four centers' T1W as the source, {budget['steps']} steps, "
        "seed 0, `unet_tiny`, every method with its published defaults. Unlabelled scans are the rest of T1W, or the "
        f"training patients' {TARGET} (transductive: marked †). Pretraining had {budget['pretrain_steps']} steps of "
        "its own. Mean Dice [95 % interval over patients], and the paired difference to ERM with the same labels. "
        "Unfinished cells are marked; `make evidence` goes on with them. The whole grid is "
        "[examples/unlabelled](../examples/unlabelled/sweep.yaml).\n\n"
    )
    for ratio in plan.config["protocol"]["label_ratio"]:
        yield from _table([arm for arm in arms if arm.setting.label_ratio == ratio], ratio, plan)
    yield from _words(arms, list(plan.config["protocol"]["label_ratio"]))


def _arm(spec: TrialSpec, table: pd.DataFrame) -> Arm:
    def row(role: str) -> dict[str, Any] | None:
        if table.empty:
            return None
        found = table[(table["arm"] == arm_name(spec)) & (table["role"] == role)].to_dict("records")
        return {str(key): value for key, value in found[0].items()} if found else None

    return Arm(method=spec.method, setting=spec.setting, panel=spec.panel, home=row("in_domain"), across=row("target"))


def _table(arms: list[Arm], ratio: float, plan: Plan) -> Iterator[str]:
    counts = {len(spec.split.train) for spec in plan.trials if spec.setting.label_ratio == ratio}
    yield f"**{ratio:.0%} of the labels** ({' or '.join(map(str, sorted(counts)))} scans)\n\n"
    yield f"| method | unlabelled | T1W | against ERM | {TARGET} | against ERM |\n|---|---|---|---|---|---|\n"
    for arm in arms:
        seen = KINDS[arm.setting.unlabelled] + (" †" if arm.panel == "transductive" else "")
        cells = [text for row in (arm.home, arm.across) for text in (_dice(row), _gain(row, plain=arm.plain))]
        yield f"| {arm.label} | {seen} | {' | '.join(cells)} |\n"
    yield "\n"


def _dice(row: dict[str, Any] | None) -> str:
    return evidence.UNFINISHED if row is None else f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _gain(row: dict[str, Any] | None, *, plain: bool) -> str:
    if row is None or plain or not row["paired_cases"]:
        return ""
    return f"{row['difference']:+.2f} [{row['difference_low']:+.2f}, {row['difference_high']:+.2f}]"


def _better(row: dict[str, Any] | None, *, by: float = 0.0) -> bool:
    return row is not None and row["difference_low"] > 0 and row["difference"] >= by


def _worse(row: dict[str, Any] | None) -> bool:
    return row is not None and row["difference_high"] < 0


def _listed(arms: list[Arm]) -> str:
    named = [
        f"{arm.label} ({KINDS[arm.setting.unlabelled]})" if arm.setting.unlabelled != "none" else arm.label
        for arm in arms
    ]
    return ", ".join(named) or "none"


def _words(arms: list[Arm], ratios: list[float]) -> Iterator[str]:
    others = [arm for arm in arms if not arm.plain and arm.home is not None and arm.across is not None]
    if not others:
        yield "Nothing has run yet, so there is nothing to say.\n"
        return
    yield "**What it says.** A difference counts where its interval excludes zero, uncorrected for their number.\n\n"
    for ratio in ratios:
        own = [arm for arm in others if arm.setting.label_ratio == ratio]
        if own:
            above = _listed([arm for arm in own if _better(arm.home)])
            yield f"- At {ratio:.0%}, of {len(own)} above ERM in T1W: {above}; "
            yield f"below: {_listed([arm for arm in own if _worse(arm.home)])}.\n"
    across = [arm for arm in others if _better(arm.across, by=WORTH)]
    best = max(others, key=lambda arm: float((arm.across or {})["mean"]))
    yield f"- Across to {TARGET}, by {WORTH:.2f} Dice or more: {_listed(across)}. The best is {best.label} with "
    yield f"{_dice(best.across)}.\n"
    yield from _crosspan(others, across)
    yield from _pancreasdg(others)


def _crosspan(others: list[Arm], across: list[Arm]) -> Iterator[str]:
    semi = [arm for arm in others if arm.setting.unlabelled != "none"]
    home = [arm for arm in semi if _better(arm.home)]
    free_across = [arm for arm in across if arm in semi]
    chance = binomtest(len(home), len(semi), BY_CHANCE, alternative="greater").pvalue if semi else 1.0
    found = "appears" if chance < CONVINCING and not free_across else "does not appear"
    yield (
        f"- CrossPan, “gains only under stable intensities”: **{found}** (of {len(semi)} semi-supervised rows "
        f"{len(home)} gain in T1W, of which chance alone would give {BY_CHANCE * len(semi):.1f}, and "
        f"{len(free_across)} across).\n"
    )
    spread = {ratio: _spread([arm for arm in semi if arm.setting.label_ratio == ratio]) for ratio in _ratios(semi)}
    if len(spread) > 1:
        fewest, most = min(spread), max(spread)
        found = "appears" if spread[fewest] > spread[most] else "does not appear"
        yield (
            f"- CrossPan, “unstable at extreme scarcity”: **{found}** (differences to ERM in T1W span "
            f"{spread[fewest]:.2f} Dice at {fewest:.0%} and {spread[most]:.2f} at {most:.0%}).\n"
        )


def _ratios(arms: list[Arm]) -> list[float]:
    return sorted({arm.setting.label_ratio for arm in arms})


def _spread(arms: list[Arm]) -> float:
    gains = [float(arm.home["difference"]) for arm in arms if arm.home]
    return max(gains) - min(gains) if gains else 0.0


def _pancreasdg(others: list[Arm]) -> Iterator[str]:
    own = [arm for arm in others if arm.method == "pancreasdg" and arm.setting.unlabelled == "target_train"]
    if not own:
        return
    gaining = [arm for arm in own if _better(arm.across, by=WORTH)]
    listed = "; ".join(f"{arm.setting.label_ratio:.0%}: {_gain(arm.across, plain=False)}" for arm in own)
    yield (
        "- PancreasDG, 43.55 to 70.39 and 35.62 to 66.61 Dice on two out-of-phase centers by an EMA teacher on "
        "unlabelled target scans after a multi-organ start (its 61.63 % and 87.00 % are gains relative to the lower "
        f"number): **{'appears' if gaining else 'does not appear'}** on {TARGET} ({listed}). Here the shift inverts "
        "the contrast, and there is no multi-organ start.\n"
    )
