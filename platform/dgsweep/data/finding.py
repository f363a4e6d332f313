"""One finding of a data check: a problem with a severity and the case that it belongs to."""

from dataclasses import dataclass
from typing import Literal

from dgsweep.errors import Problem

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding(Problem):
    """What was found, where, and what to do; `case_id` is '' when it concerns the whole data set."""

    severity: Severity = "error"
    case_id: str = ""


class Findings:
    """Collects findings so that all are reported at once."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def error(self, where: str, found: str, fix: str = "", *, case_id: str = "") -> None:
        """Note something that keeps the data from being used."""
        self.all.append(Finding(where=where, found=found, fix=fix, case_id=case_id))

    def warn(self, where: str, found: str, fix: str = "", *, case_id: str = "") -> None:
        """Note something that a person should look at."""
        self.all.append(Finding(where=where, found=found, fix=fix, case_id=case_id, severity="warning"))

    def note(self, where: str, found: str, fix: str = "") -> None:
        """Note something that is handled, and that a person may want to know."""
        self.all.append(Finding(where=where, found=found, fix=fix, severity="note"))

    @property
    def errors(self) -> list[Finding]:
        """The findings that keep the data from being used."""
        return [finding for finding in self.all if finding.severity == "error"]
