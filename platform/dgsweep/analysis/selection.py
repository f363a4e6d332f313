"""Selection rules: pure functions from records to one trial per cell. The name says what the rule looks at."""

from collections.abc import Iterable

import pandas as pd

from dgsweep.errors import InputError, Problem
from dgsweep.plan.trial import INNER_RULE, Plan, TrialSpec

RULES = ("source_val", INNER_RULE, "last", "oracle_target")
ALL_DOMAINS = "all"
"""Name under which curves.parquet holds the mean over the source domains."""
ROLE_OF_RULE = {"source_val": "val", "oracle_target": "target"}


def select(rule: str, plan: Plan, cases: pd.DataFrame, curves: pd.DataFrame) -> dict[str, str]:
    """One finished trial per cell: cell_id -> trial_id; a cell without a trial that the rule can judge is left out.

    `source_val`: best mean Dice over the source-validation cases at the last step (the last point of the
    source-validation curve where no such case was scored). `inner_leave_one_domain_out`: best mean over the source
    domains of the mean Dice on each by the same trial trained without it (cells of the panel `inner`); a trial of
    which one is missing is not judged. `last`: trial 0, the method's defaults. `oracle_target`:
    best mean Dice over the target's test cases, which nobody has in practice. Ties go to the lower trial index. Cells
    beside the methods (controls) are no cells to choose in.

    Raises:
        InputError: the rule is unknown.
    """
    if rule not in RULES:
        raise InputError("unknown selection rule", [Problem(where="selection", found=rule, fix=", ".join(RULES))])
    finished = set(cases["trial_id"].unique()) if len(cases) else set()
    specs = sorted((spec for spec in plan.compared if spec.trial_id in finished), key=lambda spec: spec.trial)
    scores = _scores(rule, plan, cases, curves)
    sizes = pd.Series([spec.cell_id for spec in plan.trials]).value_counts()
    chosen: dict[str, str] = {}
    best: dict[str, float] = {}
    for spec in specs:
        # A cell of one trial leaves nothing to choose, so it needs no validation score.
        score = 0.0 if sizes[spec.cell_id] == 1 or (rule == "last" and spec.trial == 0) else scores.get(spec.trial_id)
        if score is not None and score > best.get(spec.cell_id, float("-inf")):
            chosen[spec.cell_id], best[spec.cell_id] = spec.trial_id, score
    return chosen


def _scores(rule: str, plan: Plan, cases: pd.DataFrame, curves: pd.DataFrame) -> dict[str, float]:
    if rule == "last":
        return {}
    return inner_dice(plan, cases) if rule == INNER_RULE else mean_dice(cases, curves, ROLE_OF_RULE[rule])


def inner_dice(plan: Plan, cases: pd.DataFrame) -> dict[str, float]:
    """Mean over a trial's source domains of the Dice on each by the trial that was trained without it.

    DomainBed's leave-one-domain-out cross-validation (I. Gulrajani, D. Lopez-Paz, ICLR 2021, appendix B.2), at the last
    step. Trials with a missing part are left out.
    """
    rows = last_step(cases[(cases["panel"] == "inner") & (cases["role"] == "target")])
    rows = rows[~rows["empty_reference"].astype(bool)]
    found = rows.groupby(["trial_id", "domain"], observed=True)["dice"].mean().reset_index()
    keys = zip(found["trial_id"], found["domain"], strict=True)
    means = dict(zip(keys, found["dice"].astype(float), strict=True))
    inner = {_same_trial(spec, spec.sources): spec.trial_id for spec in plan.trials if spec.panel == "inner"}
    scores: dict[str, float] = {}
    for spec in plan.compared:
        without = {name: tuple(other for other in spec.sources if other != name) for name in spec.sources}
        parts = [means.get((inner.get(_same_trial(spec, rest), ""), name)) for name, rest in without.items()]
        known = [part for part in parts if part is not None]
        if parts and len(known) == len(parts):
            scores[spec.trial_id] = sum(known) / len(known)
    return scores


def _same_trial(spec: TrialSpec, sources: tuple[str, ...]) -> tuple[object, ...]:
    """What a trial and its inner trials share, with the sources of one of them."""
    return spec.method, spec.setting, spec.network, spec.fold, spec.seed, spec.trial, sources


def mean_dice(cases: pd.DataFrame, curves: pd.DataFrame, role: str) -> dict[str, float]:
    """Mean Dice of each trial over its cases of `role` at its last step, with the curve's last point as a fallback."""
    scores: dict[str, float] = {}
    if role == "val" and len(curves):
        known = (curves["role"] == "val") & (curves["metric"] == "dice") & (curves["domain"] == ALL_DOMAINS)
        points = curves.loc[known, ["trial_id", "step", "value"]]
        scores |= _trial_means(last_step(points), "value")
    known = (cases["role"] == role) & ~cases["empty_reference"].astype(bool)
    return scores | _trial_means(last_step(cases.loc[known, ["trial_id", "step", "dice"]]), "dice")


def _trial_means(rows: pd.DataFrame, column: str) -> dict[str, float]:
    means = rows.groupby("trial_id")[column].mean().dropna()
    return {str(trial_id): float(mean) for trial_id, mean in means.items()}


def last_step(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each trial's last step."""
    return rows[rows["step"] == rows.groupby("trial_id")["step"].transform("max")]


def selected_cases(rule: str, plan: Plan, cases: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The rows of the trials that `rule` chooses; under an oracle rule every row stands in the panel `oracle`."""
    return rows_of(rule, select(rule, plan, cases, curves).values(), cases)


def rows_of(rule: str, chosen: Iterable[str], cases: pd.DataFrame) -> pd.DataFrame:
    """The rows of these trials, which `rule` chose; under an oracle rule every row stands in the panel `oracle`."""
    rows = cases[cases["trial_id"].isin(list(chosen))]
    return rows.assign(panel="oracle") if rule.startswith("oracle_") else rows
