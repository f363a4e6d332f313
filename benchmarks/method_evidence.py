"""Write docs/method-evidence.md: what conformance and the ledger of the evidence sweep say of every method."""

import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from inspect import getsource
from typing import Any

import evidence
import pandas as pd
import promptable_evidence
import unlabelled_evidence

from dgsweep.config.declaration import MethodDeclaration
from dgsweep.method.catalog import method_declaration, method_declarations
from dgsweep.method.conformance import CheckResult, check
from dgsweep.plan.trial import Plan

PAGE = evidence.ROOT / "docs" / "method-evidence.md"
COLUMNS = {("in_domain", "T1W"): "T1W", ("target", "T1W"): "other center", ("target", "OOP"): "OOP",
           ("target", "T2W"): "T2W"}  # fmt: skip
NEAR = 0.10
"""A Dice on another sequence within this of ERM's counts as near it."""
LEARNED = 0.80
"""In-domain Dice from which a method has learned the task (the budget is the smallest at which ERM has)."""
PLACES = ("OOP", "T2W")
APART = {
    "test_time": "`tent` needs norms with scale and shift, which `unet_tiny` has not.",
    "swad": "`swad` averages between validations, of which the sweep above has two; here one every 25 steps.",
}
"""Sweep -> why its method stands apart."""
HEAD = """# Evidence for every method

Written by `make evidence` from the conformance suite and the ledger of [its sweep](../examples/evidence/sweep.yaml); do
not edit. The phantom says whether a mechanism works, nothing about an organ.

"""


def main() -> None:
    """Write the page from what the ledgers hold; cells without a finished training are marked."""
    names = sorted(method_declarations(), key=lambda name: (name != "erm", name))
    plan, dice = evidence.read("sweep")
    parts = [HEAD, *_conformance(names), "\n## On the phantom, equal budgets\n\n", *_phantom(names, dice, plan)]
    parts += ["\n", *_prediction(names, dice, plan), "\n", *_apart(), *unlabelled_evidence.section()]
    parts += promptable_evidence.section()
    PAGE.write_text("".join(parts), encoding="utf-8")
    print(f"written: {PAGE.relative_to(evidence.ROOT)}", file=sys.stderr)


def _conformance(names: list[str]) -> Iterator[str]:
    yield "## What conformance measured\n\n"
    yield "Difference from ERM: how far weights or predictions end from its, as a share of what its training changed."
    yield "\n\n"
    yield "| method | source domains | inverts contrast | checks | own claim | difference from ERM | active "
    yield "| forward passes | lines |\n|---|---|---|---|---|---|---|---|---|\n"
    for name in names:
        declaration = method_declaration(name)
        results = check(declaration)
        failed = [result.check for result in results if result.outcome == "failed"]
        verdict = f"failed: {', '.join(failed)}" if failed else "all passed"
        if all(result.outcome == "skipped" for result in results):
            verdict = "not trained: nothing to check"
        requires = declaration.requires
        yield (
            f"| `{name}` | ≥ {requires.min_source_domains} | {requires.contrast_inversion} | {verdict} "
            f"| {_says(results, 'own claim')} | {_difference(results)} | {_says(results, 'active')} "
            f"| {declaration.forward_passes_per_step:g} | {_lines(declaration)} |\n"
        )


def _says(results: list[CheckResult], name: str) -> str:
    found = [result for result in results if result.check.startswith(name)]
    return "; ".join(dict.fromkeys(result.says for result in found)) or "-"


def _difference(results: list[CheckResult]) -> str:
    return "; ".join(re.findall(r"differ by (\S+) of", _says(results, "differs from ERM"))) or "-"


def _lines(declaration: MethodDeclaration) -> int:
    """Lines of the method's module that are neither blank nor comment; docstrings count."""
    source = getsource(import_module(declaration.implementation.partition(":")[0]))
    return sum(1 for line in source.splitlines() if line.strip() and not line.strip().startswith("#"))


def _phantom(names: list[str], dice: pd.DataFrame, plan: Plan) -> Iterator[str]:
    config = plan.config
    network = config["networks"][0]
    yield (
        f"Mean Dice [95 % interval over patients]; trained on T1W of three centers, {config['budget']['steps']} steps, "
        f"seeds {', '.join(map(str, config['seeds']))}, `{network['name']}`{_options(network)}. Seeds are averaged "
        "within a case. Unfinished cells are marked; `make evidence` goes on with them.\n\n"
    )
    yield f"| method | seeds done | {' | '.join(COLUMNS.values())} |\n|---|---|{'---|' * len(COLUMNS)}\n"
    refused = {refusal.method: refusal.reason for refusal in plan.refusals}
    asked = {method["name"] for method in config["methods"]}
    for name in (name for name in names if name in asked):
        if name in refused:
            yield f"| `{name}` | refused | {refused[name]} |{' |' * (len(COLUMNS) - 1)}\n"
            continue
        cells = [evidence.dice_text(evidence.row(dice, *column, arm=name)) for column in COLUMNS]
        repeats = evidence.row(dice, "in_domain", "T1W", arm=name)
        done = 0 if repeats is None else int(repeats["repeats"])
        yield f"| `{name}` | {done} of {len(config['seeds'])} | {' | '.join(cells)} |\n"


def _options(network: dict[str, Any]) -> str:
    given = ", ".join(f"{key} {value}" for key, value in (network.get("options") or {}).items())
    return f" ({given})" if given else ""


def _prediction(names: list[str], dice: pd.DataFrame, plan: Plan) -> Iterator[str]:
    yield "## The prediction\n\n"
    yield (
        "Methods without contrast inversion should stay near ERM across sequences "
        f"(within {NEAR:.2f} Dice on OOP and T2W), those with it should not.\n\n"
    )
    refused = {refusal.method for refusal in plan.refusals}
    asked = [name for name in names if name != "erm" and name not in refused]
    found = {name: gains for name in asked if (gains := _gains(dice, name))}
    for inverts, kind in ((False, "does not invert contrast"), (True, "inverts contrast")):
        some = {name: gains for name, gains in found.items() if _inverts(name) == inverts}
        agreeing = [name for name, gains in some.items() if _is_away(gains) == inverts]
        yield f"**A method that {kind}**: {len(agreeing)} of {len(some)} confirm it; contradicted by "
        yield f"{_listed(name for name in some if name not in agreeing)}.\n\n"
        for name, gains in some.items():
            listed = ", ".join(f"{place} {gain:+.2f}" for place, gain in gains.items())
            yield f"- `{name}`: {listed} against ERM{'' if name in agreeing else ': contradicts it'}\n"
        yield "\n"
    own = {name: evidence.row(dice, "in_domain", "T1W", arm=name) for name in ["erm", *found]}
    weak = [f"`{name}` ({row['mean']:.2f})" for name, row in own.items() if row is not None and row["mean"] < LEARNED]
    yield f"Below {LEARNED:.2f} in their own domain, so this budget does not show what they can do: "
    yield f"{', '.join(weak) or 'none'}.\n\n"
    missing = [name for name in names if name != "erm" and name not in found]
    yield f"Not judged here, because unfinished, refused above, or for unlabelled scans: {_listed(missing)}.\n"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _inverts(name: str) -> bool:
    return method_declaration(name).requires.contrast_inversion == "yes"


def _gains(dice: pd.DataFrame, name: str) -> dict[str, float]:
    """Dice above ERM's on each other sequence, and in-domain; empty while either was not run."""
    wanted = {"T1W": ("in_domain", "T1W"), **{place: ("target", place) for place in PLACES}}
    rows = {
        key: (evidence.row(dice, *where, arm=name), evidence.row(dice, *where, arm="erm"))
        for key, where in wanted.items()
    }
    if any(own is None or base is None for own, base in rows.values()):
        return {}
    return {key: float(own["mean"] - base["mean"]) for key, (own, base) in rows.items() if own is not None}  # type: ignore[index]


def _is_away(gains: dict[str, float]) -> bool:
    return max(abs(gains[place]) for place in PLACES) > NEAR


def _apart() -> Iterator[str]:
    """Methods that need another backbone or more validations than the sweep of all, each beside ERM under the same."""
    yield "## Under terms of their own\n\n"
    for sweep, why in APART.items():
        plan, dice = evidence.read(sweep)
        yield f"{why} "
        yield from _phantom([method["name"] for method in plan.config["methods"]], dice, plan)
        yield "\n"


if __name__ == "__main__":
    main()
