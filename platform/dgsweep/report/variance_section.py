"""Where the variance of a method's target Dice comes from, for the page."""

import pandas as pd

from dgsweep.analysis.variance import REST, variance_summary
from dgsweep.report.blocks import Section, Table, numbers_of, present, table, words_of
from dgsweep.report.evidence import Evidence
from dgsweep.report.panels import Panel
from dgsweep.report.texts import number

NOTES = (
    "Every finished trial counts here, not only the chosen ones. Each value is one training's Dice on one patient of a "
    "target; its variance is divided among seed, fold, hyperparameters and patient by the method of moments "
    "(Henderson's method I), target by target, and then averaged. “Rest” is what no factor alone explains.",
    "An estimate from two or three levels is rough, and one below zero means that nothing of it can be seen.",
)


def variance_section(panel: Panel, evidence: Evidence) -> Section:
    """The section of one panel."""
    found = variance_summary(panel.statistics["variance_components"])
    some = found["variance"].notna().any()
    return Section(
        key="variance",
        title="Where variance comes from",
        notes=NOTES,
        tables=present(_rows(found)) if some else (),
        nothing="It needs several trainings (seeds, folds or trials) of a method, scored on several target patients.",
    )


def _rows(found: pd.DataFrame) -> Table | None:
    return table(
        "Variance components of target Dice, mean over targets",
        {
            "Method": words_of(found, "arm"),
            "Network": words_of(found, "network"),
            "Component": words_of(found, "component"),
            "SD (Dice)": numbers_of(found, "sd"),
            "Variance": numbers_of(found, "variance", 6),
            "Share (%)": [number(100.0 * share, 1) for share in found["share"].to_numpy(dtype=float)],
            "Levels": [
                "" if name == REST else text
                for name, text in zip(found["component"], words_of(found, "levels"), strict=True)
            ],
            "Targets": words_of(found, "shifts"),
            "Why none": words_of(found, "said"),
        },
        text=("Network", "Component", "Why none"),
    )
