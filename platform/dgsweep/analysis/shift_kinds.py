"""What a new center costs, and what a new sequence costs, side by side."""

import math
from collections.abc import Sequence

import pandas as pd

from dgsweep.analysis.frames import annotate, case_values, over_repeats, with_targets
from dgsweep.analysis.statistics import Bootstrap, clustered_gap
from dgsweep.analysis.tables import DEFAULT
from dgsweep.plan.trial import Plan

CENTER, SEQUENCE, BOTH = KINDS = ("cross-center", "cross-sequence", "center and sequence")
KIND_TABLE = [
    *["panel", "network", "arm", "kind", "in_domain", "target", "drop", "low", "high", "effect"],
    *["shifts", "in_domain_patients", "target_patients"],
]
"""`drop`: in-domain minus target mean Dice; `effect`: Glass's delta, the drop over the SD of the in-domain patients."""


def shift_kinds(cases: pd.DataFrame, plan: Plan | None = None, *, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """Each method's drop under a new center, a new sequence, and both: Dice, interval and effect size side by side.

    A target's center is new when no source domain has it, and so is its sequence; a target whose center and sequence
    both stand among the sources, apart, is none of these and is left out. In-domain cases are those of the source sets
    that have such a target. No row where `center` or `sequence` is no factor of the protocol. Effect size: G. Glass,
    Educ. Res. 1976;5:3-8, with the in-domain cases as the control; a collapsed target has no spread to pool.
    """
    factors = factors_of(plan)
    if not {"center", "sequence"} <= set(factors):
        return pd.DataFrame(columns=KIND_TABLE)
    rows = annotate(cases, plan)
    sources = dict(zip(rows["trial_id"], rows["sources"], strict=True))
    values = with_targets(case_values(rows, "dice"), "domain")
    pairs = zip(values["trial_id"].map(sources), values["domain"], values["role"], strict=True)
    kinds = ["" if role != "target" else kind_of(of.split("+"), to, factors) for of, to, role in pairs]
    values = values.assign(kind=pd.Series(kinds, index=values.index, dtype=object))
    found = [
        {**dict(zip(("panel", "network", "arm"), map(str, key), strict=True)), "kind": kind, **row}
        for key, part in values.groupby(["panel", "network", "arm"], sort=True, observed=True)
        for kind in KINDS
        for row in _drop(part, kind, bootstrap)
    ]
    return pd.DataFrame(found, columns=KIND_TABLE)


def factors_of(plan: Plan | None) -> list[str]:
    """The factors whose values make a domain's name, in its order."""
    protocol = (plan.config.get("protocol") or {}) if plan else {}
    return list(protocol.get("factors") or ("center", "sequence"))


def kind_of(sources: Sequence[str], target: str, factors: Sequence[str]) -> str:
    """One of KINDS, or '' for a target that is new in neither; domain names hold the values of `factors`.

    A zero-shot model has no source, named '', so nothing is a shift to it.
    """
    if not any(sources):
        return ""
    new = {}
    for factor in ("center", "sequence"):
        place = list(factors).index(factor)
        new[factor] = target.split("/")[place] not in {name.split("/")[place] for name in sources}
    return {(True, False): CENTER, (False, True): SEQUENCE, (True, True): BOTH}.get(
        (new["center"], new["sequence"]), ""
    )


def _drop(part: pd.DataFrame, kind: str, bootstrap: Bootstrap) -> list[dict[str, object]]:
    away = part[part["kind"] == kind]
    home = part[(part["role"] == "in_domain") & part["source_set"].isin(away["source_set"])]
    away = over_repeats(away[away["source_set"].isin(home["source_set"])])
    if away.empty:
        return []
    home = over_repeats(home)
    drop = clustered_gap(
        (home["value"], list(home["patient_id"])), (away["value"], list(away["patient_id"])), bootstrap
    )
    spread = float(home.groupby("patient_id")["value"].mean().std(ddof=1))
    return [
        {
            "in_domain": float(home["value"].mean()),
            "target": float(away["value"].mean()),
            "drop": drop.mean,
            "low": drop.low,
            "high": drop.high,
            "effect": drop.mean / spread if spread > 1e-12 else math.nan,
            "shifts": len(away.drop_duplicates(["source_set", "target"])),
            "in_domain_patients": home["patient_id"].nunique(),
            "target_patients": away["patient_id"].nunique(),
        }
    ]
