"""The answer in words: sentences that the intervals support, and plain admissions where they do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dgsweep.analysis.frames import baseline_of, is_baseline
from dgsweep.analysis.verdict import FEWEST_PATIENTS, LEARNED, MARGIN, Verdict
from dgsweep.report.forest import difference_mark, shift_name
from dgsweep.report.texts import count, interval, listed, method_name, number, signed


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One headline, then one line per method, then how to read them."""

    headline: str
    lines: tuple[tuple[str, str], ...]
    """(method, sentence)."""
    reading: str


def answer(verdicts: Sequence[Verdict], table: pd.DataFrame, summary: pd.DataFrame, confidence: float) -> Answer:
    """Sentences from the verdicts, the method x target table and the summary of one panel."""
    arms = _in_order(verdicts)
    lines = tuple(
        (name, f"{_held(own)} {_compared(table, name, 1 - confidence)}".strip()) for name, own in arms.items()
    )
    return Answer(
        headline=f"{_headline(arms)} {_closest(summary, 1 - confidence)}".strip(),
        lines=lines,
        reading=_reading(verdicts, confidence),
    )


def answer_at_home(table: pd.DataFrame, summary: pd.DataFrame, confidence: float, *, several_networks: bool) -> Answer:
    """Sentences for a sweep that asks for no shift: what its methods reach in their own domain."""
    rows: list[tuple[str, Any]] = [
        (method_name(str(row.arm), str(row.network), several_networks=several_networks), row)
        for row in summary[summary["role"] == "in_domain"].itertuples()
    ]
    reached = [f"{name} reaches Dice {_dice(row)}" for name, row in rows]
    headline = f"{listed(reached)} in-domain." if rows else "No case has been scored yet."
    return Answer(
        headline=f"This sweep tests no shift, so the in-domain result is the answer. {headline}",
        lines=tuple((name, _at_home(table, name, 1 - confidence)) for name, _ in rows),
        reading=f"Dice on test patients of the sources’ own domains, with its {confidence:.0%} interval. It says "
        "nothing about other domains.",
    )


def _dice(row: Any) -> str:
    return f"{number(row.mean, 2)} {interval(row.low, row.high, 2)}"


def _at_home(table: pd.DataFrame, name: str, alpha: float) -> str:
    own: list[Any] = list(_rows_of(table, name, "in_domain").itertuples())
    parts = [f"{row.source_set} {_dice(row)} ({count(row.patients, 'patient')})" for row in own]
    return f"{listed(parts)}. {_compared(table, name, alpha, 'in_domain')}".strip()


def _rows_of(table: pd.DataFrame, name: str, role: str) -> pd.DataFrame:
    """Rows of the method that `method_name` called `name`."""
    arm, _, network = name.partition(" · ")
    rows = table[(table["arm"] == arm) & (table["role"] == role)]
    return rows[rows["network"] == network] if network else rows


def _in_order(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    several = len({verdict.network for verdict in verdicts}) > 1
    arms: dict[str, list[Verdict]] = {}
    for verdict in sorted(verdicts, key=lambda one: (not is_baseline(one.arm), one.arm, one.network)):
        arms.setdefault(method_name(verdict.arm, verdict.network, several_networks=several), []).append(verdict)
    return arms


def _headline(arms: dict[str, list[Verdict]]) -> str:
    if not arms:
        return "No shift has been scored yet, so there is no answer."
    words = {name: {verdict.word for verdict in own} for name, own in arms.items()}
    if all(found == {"not judged"} for found in words.values()):
        return "No answer: the reference did not learn the task in its own domain, so a loss against it means nothing."
    holding = [name for name, found in words.items() if found == {"holds"}]
    if holding:
        return f"{listed(holding)} {'holds' if len(holding) == 1 else 'hold'} on every shift that was tried."
    some = [name for name, found in words.items() if "holds" in found]
    if some:
        return f"No method holds on every shift; {listed(some)} {'holds' if len(some) == 1 else 'hold'} on some."
    if any("open" in found for found in words.values()):
        return (
            "No method is shown to hold on any shift; some stay open: too few patients or too wide an interval to say."
        )
    return "No method holds on any shift that was judged."


def _closest(summary: pd.DataFrame, alpha: float) -> str:
    """Who is furthest above ERM over all shifts, when corrected p and interval say that it is above."""
    shifts = summary[summary["role"] == "target"]
    better: list[Any] = [
        row for row in shifts.itertuples() if row.paired_cases and difference_mark(row, alpha) == "better"
    ]
    if not better:
        return ""
    best = max(better, key=_difference)
    same = (shifts["arm"] == baseline_of(best.arm)) & (shifts["network"] == best.network)
    against = f" against {number(float(shifts.loc[same, 'mean'].iloc[0]), 2)}" if same.any() else ""
    gain = f"{signed(best.difference, 2)} {interval(best.difference_low, best.difference_high, 2, with_sign=True)}"
    return f"Over all shifts {best.arm} is furthest above ERM: Dice {number(best.mean, 2)}{against}, {gain}."


def _difference(row: Any) -> float:
    return float(row.difference)


def _held(own: Sequence[Verdict]) -> str:
    parts = []
    for word, phrase in (
        ("holds", "Holds on"),
        ("falls", "Falls on"),
        ("open", "Open on"),
        ("not judged", "Not judged on"),
    ):
        shifts = [_with_loss(verdict) for verdict in own if verdict.word == word]
        if shifts:
            parts.append(f"{phrase} {len(shifts)} of {count(len(own), 'shift')}: {listed(shifts)}.")
    return " ".join(parts)


def _with_loss(verdict: Verdict) -> str:
    name = shift_name(verdict.source_set, verdict.target)
    return name if verdict.word == "not judged" else f"{name} (Dice {signed(-verdict.loss.mean, 2)})"


def _compared(table: pd.DataFrame, name: str, alpha: float, role: str = "target") -> str:
    rows = _rows_of(table, name, role)
    rows = rows[rows["paired_cases"] > 0]
    if rows.empty:
        return ""
    marks = pd.Series([difference_mark(row, alpha) for row in rows.itertuples()]).value_counts()
    known = ("better", "worse", "undecided", "not separable", "no test")
    found = [f"{mark} on {marks[mark]}" for mark in known if mark in marks]
    return f"Against ERM, paired by case: {', '.join(found)} of {len(rows)}."


def _reading(verdicts: Sequence[Verdict], confidence: float) -> str:
    own = sorted(
        {verdict.arm for verdict in verdicts if verdict.reference_arm and not is_baseline(verdict.reference_arm)}
    )
    reference = f"ERM's Dice in its own domain (the method's own for {listed(own)})" if own else "ERM's in-domain Dice"
    return (
        f"“Holds” means: the whole {confidence:.0%} interval of the loss against {reference} on the same sources lies "
        f"within {MARGIN:.2f} Dice; “falls”: the whole interval lies beyond it; “open”: the interval crosses it, or "
        f"there are fewer than {FEWEST_PATIENTS} patients; “not judged”: there is no reference, or it stays below "
        f"{LEARNED:.2f}. Numbers in brackets are the change in Dice against that reference."
    )
