"""From rows of cases.parquet to one value per case: the shape that every table and figure starts from."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from dgsweep.analysis.selection import last_step
from dgsweep.plan.trial import BASELINE, Plan, TrialSpec

ROW = ["panel", "network", "arm", "source_set"]
"""What names one row of a table: panel, backbone, method with its setting, and source set."""
CASE = ["fold", "seed", "role", "sequence", "domain", "patient_id", "case_id"]
IN_DOMAIN = "in-domain"
Level = Literal["sequence", "domain"]
"""What a column of a matrix stands for."""


def target_level(plan: Plan) -> Level:
    """What the columns of this plan's main tables are: target sequences, or domains where sequences tell nothing.

    Under `cross_center` every target has the sequence of its sources: a column per sequence would pool the centers
    that were tested and name none.
    """
    kind = (plan.config.get("protocol") or {}).get("kind")
    return "domain" if kind == "cross_center" else "sequence"


def annotate(cases: pd.DataFrame, plan: Plan | None) -> pd.DataFrame:
    """Add `arm` (method with its setting), `group` (what must be equal to compare) and `source_set` (short name).

    Without a plan the setting and the sources are taken from the rows themselves.
    """
    if plan is None:
        named = [_arm(str(row.method), row.setting) for row in cases[["method", "setting"]].itertuples()]
        plain = [is_baseline(name) for name in named]
        return cases.assign(arm=named, baseline=plain, group=_group(cases), source_set=cases["sources"])
    found = {str(trial_id) for trial_id in cases["trial_id"].unique()}  # naming every trial of a plan takes longer
    specs = {spec.trial_id: spec for spec in plan.trials if spec.trial_id in found}
    known = cases if len(specs) == len(found) else cases[cases["trial_id"].isin(list(specs))]
    arms = _of_trial(known, {key: _arm(spec.method, spec.setting.label()) for key, spec in specs.items()})
    return known.assign(
        arm=arms,
        baseline=arms.map(is_baseline).astype(bool),
        group=_of_trial(known, {key: comparison_group(spec) for key, spec in specs.items()}),
        source_set=_of_trial(known, {key: spec.sources_label for key, spec in specs.items()}),
    )


def arm_name(spec: TrialSpec) -> str:
    """Method with its setting, as tables name it."""
    return f"{spec.method} (pretraining)" if spec.phase == "pretrain" else _arm(spec.method, spec.setting.label())


def is_baseline(arm: str) -> bool:
    """Whether a method with its setting is what others are compared with: ERM, starting from random weights."""
    method, _, setting = arm.partition(" (")
    return method == BASELINE and "init_from=" not in setting


def baseline_of(arm: str) -> str:
    """The arm that another is compared with: ERM with the same share of labels."""
    _, _, setting = arm.partition(" (")
    ratio = next((part for part in setting.rstrip(")").split(", ") if part.startswith("label_ratio=")), "")
    return _arm(BASELINE, ratio)


def comparison_group(spec: TrialSpec) -> str:
    """What a method and its baseline must share, beside sources, fold and seed, to be compared."""
    return f"{spec.network}|{spec.setting.label_ratio}|{_told(spec.setting.prompt)}"


def _told(prompt: object) -> str:
    """What a case's label told the method: boxes that are predicted tell nothing, and compare with ERM."""
    return prompt if isinstance(prompt, str) and not prompt.startswith("predicted_box") else ""


def case_values(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One `value` per trial and scored case (mean over its structures), from annotated rows.

    Validation cases and cases with an empty reference are left out; the latter stand in `tables.empty_references`.
    """
    keys = [*ROW, "baseline", "group", "trial_id", *CASE]
    known = rows["role"].isin(["in_domain", "target"]) & ~rows["empty_reference"].astype(bool)
    scored = rows.loc[known, [*keys, "step", metric]]
    values = last_step(scored).groupby(keys, dropna=False, observed=True)[metric].mean()
    return values.rename("value").reset_index().astype({"baseline": bool})  # of no rows it would be an object


def with_targets(values: pd.DataFrame, by: Level) -> pd.DataFrame:
    """Add the column of the matrix, `target`: the sequence or domain, or `in-domain` where a column would mix roles."""
    values = values.assign(target=values[by].astype(str))
    roles = values.groupby([*ROW, "target"], observed=True)["role"].nunique()
    if (roles > 1).any():
        values["target"] = values["target"].mask(values["role"] == "in_domain", IN_DOMAIN)
    return values


def as_categories(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with each column of text as sorted categories: the same content in a fraction of the memory and time."""
    text = [name for name in rows.columns if not pd.api.types.is_numeric_dtype(rows[name].dtype)]
    return rows.astype(dict.fromkeys(text, "category"))


def over_repeats(values: pd.DataFrame) -> pd.DataFrame:
    """One value per case: the mean over folds and seeds, which repeat the training and not the patient."""
    keys = [*ROW, "role", "target", "patient_id", "case_id"]
    return values.groupby(keys, dropna=False, observed=True)["value"].mean().reset_index()


def _group(cases: pd.DataFrame) -> pd.Series:
    """`comparison_group` of rows without their plan."""
    named = cases[["network", "label_ratio", "prompt"]].itertuples(index=False)
    groups = [f"{network}|{ratio}|{_told(prompt)}" for network, ratio, prompt in named]
    return pd.Series(groups, index=cases.index, dtype=str)


def _arm(method: str, setting: object) -> str:
    return f"{method} ({setting})" if isinstance(setting, str) and setting else method


def _of_trial(rows: pd.DataFrame, values: Mapping[str, str]) -> pd.Series:
    """Text of each row's trial, as a category: a value for every trial and not for every row."""
    trials, ids = pd.factorize(rows["trial_id"])
    texts = [values[str(name)] for name in ids]
    known = sorted(set(texts))
    place = {text: code for code, text in enumerate(known)}
    codes = np.array([place[text] for text in texts], dtype=np.intp)[trials]
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(known, dtype="str")), index=rows.index)
