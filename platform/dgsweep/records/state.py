"""What state a trial is in, judged from its files alone."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dgsweep.plan.trial import TrialSpec
from dgsweep.records.atomic import RecordError, file_sha256, read_json, read_json_or_empty
from dgsweep.records.paths import TrialPaths
from dgsweep.storage.place import AnyPath

HEARTBEAT_FRESH_S = 120.0
"""A trial whose sign of life is older than this does not run any more."""
STOPPED = "stopped"
"""Phase of the last heartbeat of a trial that stopped at a checkpoint because it was asked to."""
SEALED = ("spec.json", "cases.parquet", "curves.parquet", "provenance.json")
"""Files whose checksums DONE holds."""
SCORES = "cases.parquet"
PRUNED = "pruned"
"""Kind of the record of a trial that a scheduler stopped."""


class TrialState(StrEnum):
    """Where a trial stands. Equal to its plain text: `TrialState.DONE == "done"`."""

    PLANNED = "planned"
    RUNNING = "running"
    FAILED = "failed"
    PRUNED = "pruned"
    DONE = "done"
    STALE = "stale"
    """Trained, but a wanted score is missing or out of date: it is scored again without training."""


@dataclass(frozen=True, kw_only=True)
class TrialStatus:
    """State of a trial, and why."""

    state: TrialState
    cause: str = ""
    """What failed, what DONE disagrees with, or how far an interrupted trial came; '' when there is nothing to say."""
    unscored: tuple[str, ...] = ()
    """Wanted case ids without a valid score; all of them until the trial is done once."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """Last heartbeat."""


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What DONE says, compared with the files beside it."""

    present: bool
    broken: tuple[str, ...] = ()
    """File names that DONE does not agree with."""
    score_shas: Mapping[str, str] = field(default_factory=dict)

    @property
    def intact(self) -> bool:
        """DONE is there and agrees with every file."""
        return self.present and not self.broken


def read_seal(paths: TrialPaths) -> Seal:
    """Read DONE and compare its checksums with the files."""
    try:
        done = read_json(paths.done)
    except RecordError:
        return Seal(present=True, broken=("DONE",))
    if done is None:
        return Seal(present=False)
    checksums, score_shas = done.get("sha256"), done.get("score_shas")
    if not isinstance(checksums, dict) or not isinstance(score_shas, dict) or done.get("trial_id") != paths.root.name:
        return Seal(present=True, broken=("DONE",))
    broken = tuple(name for name in SEALED if checksums.get(name) != file_sha256(paths.root / name))
    return Seal(present=True, broken=broken, score_shas=score_shas)


def valid_scores(spec: TrialSpec, seal: Seal) -> tuple[str, ...]:
    """Wanted case ids whose rows in cases.parquet are still valid; a changed spec.json alone does not spoil them."""
    if not seal.present or {"DONE", SCORES} & set(seal.broken):
        return ()
    return tuple(case_id for case_id, sha in spec.score_shas.items() if seal.score_shas.get(case_id) == sha)


def judge(spec: TrialSpec, paths: TrialPaths) -> TrialStatus:
    """State of one trial against what the plan wants of it."""
    seal = read_seal(paths)
    valid = set(valid_scores(spec, seal))
    unscored = tuple(case_id for case_id in spec.score_shas if case_id not in valid)
    if seal.intact and not unscored:
        return TrialStatus(state=TrialState.DONE)
    progress, failure = read_progress(paths), read_json_or_empty(paths.failed)
    if failure.get("kind") == PRUNED:  # whatever sign of life its worker gave before the stop reached it
        cause, step = str(failure.get("cause", "")), {"step": failure["step"]} if "step" in failure else progress
        return TrialStatus(state=TrialState.PRUNED, cause=cause, unscored=unscored, progress=step)
    if is_fresh(progress, paths.heartbeat):
        return TrialStatus(state=TrialState.RUNNING, unscored=unscored, progress=progress)
    if failure:
        cause = str(failure.get("cause", ""))
        return TrialStatus(state=TrialState.FAILED, cause=cause, unscored=unscored, progress=progress)
    return _unfinished(paths, seal=seal, unscored=unscored, progress=progress)


def read_progress(paths: TrialPaths) -> dict[str, Any]:
    """Last heartbeat of a trial; {} when there is none."""
    return read_json_or_empty(paths.heartbeat)


def is_fresh(progress: Mapping[str, Any], heartbeat: AnyPath) -> bool:
    """Whether a heartbeat is younger than HEARTBEAT_FRESH_S, by its own clock or by that of the disk.

    The clock of the node that wrote it may be off; the date of the file is given by the disk that all nodes share.
    """
    if progress.get("phase") == STOPPED:
        return False
    try:
        times = (float(progress["time"]), heartbeat.stat().st_mtime)
    except (KeyError, TypeError, ValueError, OSError):
        return False
    return any(abs(time.time() - written) < HEARTBEAT_FRESH_S for written in times)


def _unfinished(
    paths: TrialPaths, *, seal: Seal, unscored: tuple[str, ...], progress: Mapping[str, Any]
) -> TrialStatus:
    if seal.intact:
        cause = f"{len(unscored)} wanted scores are missing or out of date"
        return TrialStatus(state=TrialState.STALE, cause=cause, unscored=unscored)
    if seal.present:
        cause = f"DONE does not agree with {', '.join(seal.broken)}"
        state = TrialState.STALE if paths.has_checkpoint() else TrialState.PLANNED
        return TrialStatus(state=state, cause=cause, unscored=unscored)
    cause = f"interrupted at step {progress['step']}" if "step" in progress else ""
    return TrialStatus(state=TrialState.PLANNED, cause=cause, unscored=unscored, progress=progress)
