"""Which predictions of a trial stay on disk."""

import pandas as pd

from dgsweep.storage.files import names, remove_file
from dgsweep.storage.place import AnyPath


def kept_cases(cases: pd.DataFrame, keep: str) -> set[str]:
    """Case ids whose prediction stays: `all`, `none`, or `extremes` (best, median, worst mean Dice of each domain)."""
    if keep == "all":
        return set(cases["case_id"])
    if keep == "none" or cases.empty:
        return set()
    means = cases.groupby(["domain", "case_id"])["dice"].mean().reset_index()
    by_case = means.sort_values(by=["dice", "case_id"])
    wanted: set[str] = set()
    for _, domain in by_case.groupby("domain"):
        names = list(domain["case_id"])
        wanted |= {names[0], names[len(names) // 2], names[-1]}
    return wanted


def remove_unwanted_predictions(folder: AnyPath, cases: pd.DataFrame, keep: str) -> None:
    """Delete the masks of all other cases."""
    wanted = {f"{name}.nii.gz" for name in kept_cases(cases, keep)}
    for name in names(folder):
        if name.endswith(".nii.gz") and name not in wanted:
            remove_file(folder / name)
