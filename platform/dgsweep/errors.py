"""Errors for the person who must act: what was found, where, what was expected, what to do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self


class DgsweepError(Exception):
    """The work failed. Every project error derives from this one; the command line exits with `exit_code`."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input."""

    where: str
    """File, field path or case id: where the person finds it."""
    found: str
    """What was found there."""
    fix: str = ""
    """What was expected, or what to do."""

    def __str__(self) -> str:
        return f"{self.where}: {self.found}" + (f" -> {self.fix}" if self.fix else "")


class InputError(DgsweepError):
    """The input is wrong. Carries every problem found, not only the first."""

    exit_code = 2

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[type[Self], tuple[str, tuple[Problem, ...]]]:
        """Survive pickling between processes without repeating the problems in the message."""
        return type(self), (str(self).split("\n  - ", maxsplit=1)[0], self.problems)


class ConfigError(InputError):
    """A sweep.yaml, an override or a search space is wrong."""


class ManifestError(InputError):
    """A manifest, or a file that it names, is wrong."""


class CaseError(InputError):
    """One scan cannot be used: its file, its geometry or its values."""


class PlanError(InputError):
    """The protocol, the methods and the data do not fit together."""


class MethodError(InputError):
    """A method or network plugin is missing, broken or misused."""


class WeightsError(InputError):
    """A checkpoint of a foundation model cannot be used, or is not registered."""


class ResourceError(InputError):
    """The resources asked for (processors, accelerators, disk) are not there."""


class TrialFailedError(DgsweepError):
    """One trial failed while it ran; the sweep goes on without it."""

    def __init__(self, cause: str, *, kind: str = "error") -> None:
        self.cause = cause
        self.kind = kind
        super().__init__(cause)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep cause and kind when the error crosses a process boundary."""
        return _trial_failed, (self.cause, self.kind)


class TrialStoppedError(DgsweepError):
    """One trial stopped at a checkpoint, because the sweep was asked to stop or its node is going away."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class TrialPrunedError(TrialFailedError):
    """The scheduler stopped a trial, and has noted it; raised by a report, where reports are answered at once."""

    def __init__(self, cause: str = "stopped by the scheduler") -> None:
        super().__init__(cause, kind="pruned")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the cause when the error crosses a process boundary."""
        return type(self), (self.cause,)


def _trial_failed(cause: str, kind: str) -> TrialFailedError:
    return TrialFailedError(cause, kind=kind)


class Problems:
    """Collects problems so that all are reported at once."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, where: str, found: str, fix: str = "") -> None:
        """Note one problem."""
        self._found.append(Problem(where=where, found=found, fix=fix))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note several problems."""
        self._found.extend(problems)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def raise_if_any(self, error: type[InputError], message: str) -> None:
        """Raise `error` with every problem noted so far; do nothing when there is none."""
        if self._found:
            raise error(message, self._found)
