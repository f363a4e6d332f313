"""Methods beside their controls: what the target's own patients allow, and what shuffled labels come to."""

from collections.abc import Iterator, Sequence

import pandas as pd

from dgsweep.analysis.frames import annotate, case_values
from dgsweep.analysis.selection import selected_cases
from dgsweep.analysis.statistics import Bootstrap, clustered_mean
from dgsweep.analysis.tables import DEFAULT
from dgsweep.plan.trial import BASELINE, CEILING, SHUFFLED, Plan, TrialSpec

CONTROLS = [
    *["kind", "network", "where", "role", "arm", "control", "control_low", "control_high", "method"],
    *["difference", "difference_low", "difference_high", "cases", "patients"],
]
"""`where`: the target domain of a ceiling, the source set of shuffled labels; `difference`: method minus control,
paired by case. A control without a method beside it has an empty `arm`."""


def control_table(
    cases: pd.DataFrame, plan: Plan, chosen: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT
) -> pd.DataFrame:
    """Dice of the controls, and of the methods on the same cases: ceilings by target domain, shuffled labels by source.

    `cases` are the rows of every finished trial, `chosen` those of the trials that a rule chose. A ceiling that an ERM
    cell of the sweep gives (trained on that domain alone) is found among `cases`.
    """
    methods = _values(chosen, plan)
    asked = plan.config.get("controls") or {}
    rows = []
    if asked.get("ceiling"):
        rows += list(_ceilings(_values(_of(cases, _ceiling_trials(plan)), plan), methods, bootstrap))
    if asked.get("shuffled_labels"):
        shuffled = [spec for spec in plan.trials if spec.panel == "control" and spec.setting.variant == SHUFFLED]
        rows += list(_shuffled(_values(_of(cases, shuffled), plan), methods[methods["arm"] == BASELINE], bootstrap))
    return pd.DataFrame(rows, columns=CONTROLS)


def chosen_cases(plan: Plan, cases: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Rows of the main panel that the first rule chooses which looks at no target label."""
    rules = [rule for rule in plan.config.get("selection") or ("source_val",) if not rule.startswith("oracle_")]
    if not rules:
        return cases.iloc[:0]
    found = selected_cases(rules[0], plan, cases, curves)
    return found[found["panel"] == "main"]


def _ceiling_trials(plan: Plan) -> list[TrialSpec]:
    control = [spec for spec in plan.trials if spec.panel == "control" and spec.setting.variant == CEILING]
    known = {spec.sources for spec in control}
    targets = {name for spec in plan.compared for name in spec.targets if name not in spec.sources}
    own = [spec for spec in plan.compared if spec.is_plain_baseline and len(spec.sources) == 1]
    return [*control, *(one for one in own if one.sources not in known and set(one.sources) <= targets)]


def _of(cases: pd.DataFrame, specs: Sequence[TrialSpec]) -> pd.DataFrame:
    return cases[cases["trial_id"].isin([spec.trial_id for spec in specs])]


def _values(rows: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """One value per arm, network, source set and case, over folds and seeds."""
    values = case_values(annotate(rows, plan), "dice")
    keys = ["network", "arm", "source_set", "role", "domain", "patient_id", "case_id"]
    return values.groupby(keys, observed=True)["value"].mean().reset_index()


def _ceilings(control: pd.DataFrame, methods: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict[str, object]]:
    home = control[control["role"] == "in_domain"]
    away = methods[methods["role"] == "target"].groupby(
        ["network", "arm", "domain", "patient_id", "case_id"], observed=True
    )["value"]
    others = away.mean().reset_index()
    for (network, domain), own in home.groupby(["network", "domain"], sort=True, observed=True):
        beside = others[(others["network"] == network) & (others["domain"] == domain)]
        named = {"kind": CEILING, "network": str(network), "where": str(domain), "role": "target"}
        yield from _compared(named, own, beside, bootstrap)


def _shuffled(control: pd.DataFrame, methods: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict[str, object]]:
    keys = ["network", "source_set", "role"]
    for (network, source_set, role), own in control.groupby(keys, sort=True, observed=True):
        same = (methods["network"] == network) & (methods["source_set"] == source_set) & (methods["role"] == role)
        named = {"kind": SHUFFLED, "network": str(network), "where": str(source_set), "role": str(role)}
        yield from _compared(named, own, methods[same], bootstrap)


def _compared(
    named: dict[str, str], own: pd.DataFrame, methods: pd.DataFrame, bootstrap: Bootstrap
) -> Iterator[dict[str, object]]:
    """The control and each method on the cases that both have; the control alone where no method has any."""
    control = own[["case_id", "patient_id", "value"]]
    pairs = methods.merge(control, on=["case_id", "patient_id"], suffixes=("", "_control"))
    for arm, part in pairs.groupby("arm", sort=True, observed=True):
        yield {**named, "arm": str(arm), **_row(part["value_control"], part, bootstrap), **_paired(part, bootstrap)}
    if pairs.empty:
        yield {**named, "arm": "", **_row(control["value"], control, bootstrap)}


def _row(values: pd.Series, part: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, object]:
    found = clustered_mean(values, list(part["patient_id"]), bootstrap)
    means = {"control": found.mean, "control_low": found.low, "control_high": found.high}
    return {**means, "cases": found.cases, "patients": found.patients}


def _paired(part: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, object]:
    gap = clustered_mean(part["value"] - part["value_control"], list(part["patient_id"]), bootstrap)
    bounds = {"difference": gap.mean, "difference_low": gap.low, "difference_high": gap.high}
    return {"method": float(part["value"].mean()), **bounds}
