"""Write docs/method-evidence.md: what conformance and the ledger of the evidence sweep say of every method."""

import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import getsource
from pathlib import Path

import pandas as pd

from dgsweep.analysis.selection import selected_cases
from dgsweep.analysis.tables import matrix
from dgsweep.config.declaration import MethodDeclaration
from dgsweep.execution.prepare import prepare
from dgsweep.method.catalog import method_declaration, method_declarations
from dgsweep.method.conformance import CheckResult, check
from dgsweep.records.ledger import Ledger

ROOT = Path(__file__).parents[1]
SWEEP = ROOT / "examples" / "evidence" / "sweep.yaml"
PAGE = ROOT / "docs" / "method-evidence.md"
COLUMNS = {("in_domain", "T1W"): "T1W", ("target", "T1W"): "other center", ("target", "OOP"): "OOP",
           ("target", "T2W"): "T2W"}  # fmt: skip
NEAR = 0.10
"""A Dice on another sequence within this of ERM's counts as near it."""
HEAD = """# Evidence for every method

Written by `make evidence` from the conformance suite and the ledger of [its sweep](../examples/evidence/sweep.yaml); do
not edit. The phantom says whether a mechanism works, nothing about an organ.

"""


def main() -> None:
    """Write the page from what the ledger holds; cells without a finished training are marked."""
    prepared = prepare(SWEEP)
    ledger = Ledger(Path(prepared.config.output))
    dice = _dice(ledger) if ledger.files.plan.exists() else pd.DataFrame()
    names = sorted(method_declarations(), key=lambda name: (name != "erm", name))
    parts = [HEAD, *_conformance(names), "\n", *_phantom(names, dice, prepared.plan), "\n", *_prediction(names, dice)]
    PAGE.write_text("".join(parts), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}", file=sys.stderr)


def _dice(ledger: Ledger) -> pd.DataFrame:
    """One row per method and column: mean, low, high, patients, repeats."""
    plan = ledger.read_plan()
    cases = selected_cases("source_val", plan, ledger.cases_frame(plan), ledger.curves_frame(plan))
    return matrix(cases, plan) if len(cases) else pd.DataFrame()


def _conformance(names: list[str]) -> Iterator[str]:
    yield "## What conformance measured\n\n"
    yield "| method | source domains | inverts contrast | checks | own claim | active | forward passes | lines |\n"
    yield "|---|---|---|---|---|---|---|---|\n"
    for name in names:
        declaration = method_declaration(name)
        results = check(declaration)
        failed = [result.check for result in results if result.outcome == "failed"]
        verdict = f"failed: {', '.join(failed)}" if failed else "all passed"
        requires = declaration.requires
        yield (
            f"| `{name}` | ≥ {requires.min_source_domains} | {requires.contrast_inversion} | {verdict} "
            f"| {_says(results, 'own claim')} | {_says(results, 'active')} "
            f"| {declaration.forward_passes_per_step:g} | {_lines(declaration)} |\n"
        )


def _says(results: list[CheckResult], name: str) -> str:
    found = [result for result in results if result.check.startswith(name)]
    return "; ".join(dict.fromkeys(result.says for result in found)) or "-"


def _lines(declaration: MethodDeclaration) -> int:
    """Lines of the method's module that are neither blank nor comment; docstrings count."""
    source = getsource(import_module(declaration.implementation.partition(":")[0]))
    return sum(1 for line in source.splitlines() if line.strip() and not line.strip().startswith("#"))


def _phantom(names: list[str], dice: pd.DataFrame, plan: object) -> Iterator[str]:
    config = plan.config  # type: ignore[attr-defined]
    yield "## On the phantom, equal budgets\n\n"
    yield (
        f"Mean Dice [95 % interval over patients]; trained on T1W of three centers, {config['budget']['steps']} steps, "
        f"seeds {', '.join(map(str, config['seeds']))}, `unet_tiny`. Seeds are averaged within a case. "
        "Unfinished cells are marked; `make evidence` goes on with them.\n\n"
    )
    yield f"| method | seeds done | {' | '.join(COLUMNS.values())} |\n|---|---|{'---|' * len(COLUMNS)}\n"
    refused = {refusal.method: refusal.reason for refusal in plan.refusals}  # type: ignore[attr-defined]
    for name in names:
        if name in refused:
            yield f"| `{name}` | refused | {refused[name]} |{' |' * (len(COLUMNS) - 1)}\n"
            continue
        cells = [_cell(dice, name, role, target) for role, target in COLUMNS]
        repeats = _row(dice, name, "in_domain", "T1W")
        done = 0 if repeats is None else int(repeats["repeats"])
        yield f"| `{name}` | {done} of {len(config['seeds'])} | {' | '.join(cells)} |\n"


def _row(dice: pd.DataFrame, name: str, role: str, target: str) -> "pd.Series[float] | None":
    if dice.empty:
        return None
    arm = dice["arm"].astype(str).str.partition(" ")[0]
    where = (arm == name) & (dice["role"] == role)
    found = dice[where if role == "in_domain" else where & (dice["target"] == target)]
    return None if found.empty else found.iloc[0]


def _cell(dice: pd.DataFrame, name: str, role: str, target: str) -> str:
    row = _row(dice, name, role, target)
    return "not run yet" if row is None else f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _prediction(names: list[str], dice: pd.DataFrame) -> Iterator[str]:
    yield "## The prediction\n\n"
    yield (
        "Methods without contrast inversion should stay near ERM across sequences "
        f"(within {NEAR:.2f} Dice on OOP and T2W), those with it should not.\n\n"
    )
    for name in names:
        row = _verdict(dice, name)
        if row:
            yield f"- `{name}`: {row}\n"


def _verdict(dice: pd.DataFrame, name: str) -> str:
    declares = method_declaration(name).requires.contrast_inversion == "yes"
    pairs = [(_row(dice, name, "target", place), _row(dice, "erm", "target", place)) for place in ("OOP", "T2W")]
    if name == "erm" or any(own is None or base is None for own, base in pairs):
        return ""
    gains = [float(own["mean"] - base["mean"]) for own, base in pairs if own is not None and base is not None]
    away = max(map(abs, gains)) > NEAR
    word = "confirms" if away == declares else "contradicts"
    kind = "inverts contrast" if declares else "does not invert contrast"
    return f"{kind}, OOP {gains[0]:+.2f}, T2W {gains[1]:+.2f} against ERM: {word} it"


if __name__ == "__main__":
    main()
