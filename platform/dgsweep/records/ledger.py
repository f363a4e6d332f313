"""The ledger: one folder per trial, written file by file, atomically, with DONE last. The truth of a sweep."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from uuid import uuid4

import pandas as pd

from dgsweep.errors import PlanError
from dgsweep.plan.file import read_plan, write_plan
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records import frames
from dgsweep.records.atomic import RecordError, file_sha256, read_json, remove_leftovers, write_json
from dgsweep.records.columns import read_rows, read_table, write_case_rows, write_curve_rows
from dgsweep.records.lock import driver_lock
from dgsweep.records.paths import SweepPaths, TrialPaths
from dgsweep.records.provenance import utc_now
from dgsweep.records.state import PRUNED, SEALED, TrialState, TrialStatus, judge, read_progress, read_seal, valid_scores
from dgsweep.storage.files import StorageError, create_bytes, exists, make_folder, names, read_bytes, remove_file
from dgsweep.storage.place import AnyPath, is_remote, place

_CREATED = "created"
READERS = 32
"""Requests to an object store at a time."""
Item = TypeVar("Item")
Result = TypeVar("Result")


class Ledger:
    """Files of one sweep. Any number of processes may read; one process at a time writes a trial."""

    def __init__(self, output: AnyPath | str) -> None:
        self.files = SweepPaths(place(output))

    @property
    def output(self) -> AnyPath:
        """Folder of the sweep."""
        return self.files.output

    def lock(self) -> AbstractContextManager[None]:
        """Hold the output as its one driver until the block ends; InputError when another driver holds it."""
        return driver_lock(self.files)

    def sweep_id(self) -> str:
        """Random name of this output folder, made on first use; it stays when the folder is moved."""
        if not exists(self.files.sweep_id):
            create_bytes(self.files.sweep_id, uuid4().hex.encode())
        return read_bytes(self.files.sweep_id).decode("ascii").strip()

    def write_plan(self, plan: Plan) -> None:
        """Write plan.json."""
        write_plan(plan, self.files.plan)

    def read_plan(self) -> Plan:
        """Read plan.json."""
        return read_plan(self.files.plan)

    def paths(self, trial_id: str) -> TrialPaths:
        """File names of one trial."""
        return self.files.trial(trial_id)

    def spec(self, trial_id: str) -> TrialSpec | None:
        """What spec.json of a trial says; None when the trial has not begun."""
        plain = read_json(self.paths(trial_id).spec)
        if plain is None:
            return None
        plain.pop(_CREATED, None)
        return TrialSpec.from_json(plain)

    def created(self, trial_id: str) -> str:
        """When the trial began first (ISO 8601, UTC); '' when it has not."""
        return str((read_json(self.paths(trial_id).spec) or {}).get(_CREATED, ""))

    def begin(self, spec: TrialSpec) -> None:
        """Note that a trial runs: spec.json (keeping its first date), no failure, a first heartbeat.

        The spec.json of a finished trial stays until `finish`, so that a kill in between loses no score.
        """
        paths = self.paths(spec.trial_id)
        make_folder(paths.root)
        remove_leftovers(paths.root)
        if not read_seal(paths).intact:
            self._write_spec(spec)
        self.clear_failure(spec.trial_id)
        self.heartbeat(spec.trial_id, {"phase": "start"})

    def heartbeat(self, trial_id: str, progress: Mapping[str, Any]) -> None:
        """Leave a sign of life with `progress` (step, steps, phase ...); cheap enough for every few seconds."""
        write_json(self.paths(trial_id).heartbeat, {**progress, "time": time.time()}, durable=False)

    def progress(self, trial_id: str) -> dict[str, Any]:
        """Last heartbeat of a trial; {} when there is none, or the store does not answer now."""
        try:
            return read_progress(self.paths(trial_id))
        except StorageError:
            return {}

    def fail(self, trial_id: str, cause: str, kind: str = "error", traceback: str = "") -> None:
        """Note that a trial failed. `kind` is nan_loss, out_of_memory, error, dependency or died."""
        paths = self.paths(trial_id)
        record = {"trial_id": trial_id, "kind": kind, "cause": cause, "traceback": traceback, "time": utc_now()}
        write_json(paths.failed, record)
        remove_file(paths.heartbeat)

    def prune(self, trial_id: str, cause: str, *, step: int, wall_s: float) -> None:
        """Note that a scheduler stopped a trial after `step` steps and `wall_s` seconds; its checkpoint stays.

        A trial that was faster and is done stays done.
        """
        paths = self.paths(trial_id)
        if exists(paths.done):
            return
        record = {"trial_id": trial_id, "kind": PRUNED, "cause": cause, "step": step, "time": utc_now()}
        write_json(paths.failed, record)
        cost = {"pruned": True, "steps": step, "train_wall_s": wall_s}
        self.write_provenance(trial_id, {**self.provenance(trial_id), **cost})
        remove_file(paths.heartbeat)

    def is_pruned(self, trial_id: str) -> bool:
        """Whether a scheduler stopped the trial; asked every second while it runs."""
        return exists(self.paths(trial_id).failed) and self.failure(trial_id).get("kind") == PRUNED

    def failure(self, trial_id: str) -> dict[str, Any]:
        """What `fail` noted; {} when the trial did not fail."""
        return read_json(self.paths(trial_id).failed) or {}

    def clear_failure(self, trial_id: str) -> None:
        """Forget a failure, because the trial runs again."""
        remove_file(self.paths(trial_id).failed)

    def write_curves(self, trial_id: str, curves: pd.DataFrame) -> None:
        """Write curves.parquet; RecordError when its columns are not CURVE_COLUMNS."""
        write_curve_rows(self.paths(trial_id).curves, curves)

    def write_cases(self, trial_id: str, cases: pd.DataFrame) -> None:
        """Write cases.parquet; RecordError when its columns are not CASE_COLUMNS or a row is of another trial."""
        if "trial_id" in cases and (strange := set(cases["trial_id"]) - {trial_id}):
            raise RecordError(
                f"cases of trial {trial_id}: not written, rows of trial {sorted(map(str, strange))[0]} found"
            )
        write_case_rows(self.paths(trial_id).cases, cases)

    def write_provenance(self, trial_id: str, provenance: Mapping[str, Any]) -> None:
        """Write provenance.json."""
        write_json(self.paths(trial_id).provenance, provenance)

    def provenance(self, trial_id: str) -> dict[str, Any]:
        """What provenance.json says; {} when it is not there."""
        return read_json(self.paths(trial_id).provenance) or {}

    def finish(self, trial_id: str, spec: TrialSpec) -> None:
        """Write DONE, last: the trial is finished and its files are these.

        Raises:
            RecordError: A file is missing, or a wanted case has no row.
        """
        paths = self.paths(trial_id)
        self._write_spec(spec)
        checksums = {name: file_sha256(paths.root / name) for name in SEALED}
        if missing := [name for name, checksum in checksums.items() if not checksum]:
            raise RecordError(f"trial {trial_id}: cannot be finished, {', '.join(missing)} not written")
        scored = set(read_rows(paths.cases)["case_id"])
        if absent := [case_id for case_id in spec.score_shas if case_id not in scored]:
            raise RecordError(
                f"trial {trial_id}: cannot be finished, no score of {len(absent)} cases, first {absent[0]!r}"
            )
        done = {"trial_id": trial_id, "score_shas": dict(spec.score_shas), "sha256": checksums, "finished": utc_now()}
        write_json(paths.done, done)
        self.clear_failure(trial_id)
        remove_file(paths.heartbeat)

    def state(self, spec: TrialSpec) -> TrialState:
        """State of a trial against what `spec` wants of it."""
        return self.status(spec).state

    def states_of(self, specs: Sequence[TrialSpec]) -> dict[str, TrialState]:
        """Trial id -> state, in the order of the specs."""
        return dict(zip((spec.trial_id for spec in specs), self.each(self.state, specs), strict=True))

    def status(self, spec: TrialSpec) -> TrialStatus:
        """State of a trial, why, and which wanted cases have no valid score."""
        return judge(spec, self.paths(spec.trial_id))

    def valid_cases(self, spec: TrialSpec) -> pd.DataFrame:
        """Rows of cases.parquet that are still valid for `spec`: what a stale trial need not score again."""
        paths = self.paths(spec.trial_id)
        if not (valid := valid_scores(spec, read_seal(paths))):
            return frames.no_cases()
        return frames.for_spec(read_rows(paths.cases), spec, valid)

    def each(self, read: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """What `read` tells of each item, in order; of an object store many are asked for at a time."""
        if not is_remote(self.output):
            return [read(item) for item in items]
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(read, items))

    def known_trials(self) -> list[TrialSpec]:
        """Every trial that the plan of the last run or a folder names; what cannot be read is left out.

        The plan may be lost: a trial that has begun is found by its spec.json.
        """
        try:
            planned = {spec.trial_id: spec for spec in self.read_plan().trials}
        except PlanError:
            planned = {}
        others = [name for name in names(self.files.trials) if name not in planned]
        begun = self.each(lambda name: frames.spec_of(name, self.spec), others)
        return [*planned.values(), *(spec for spec in begun if spec is not None)]

    def states(self, plan: Plan) -> pd.DataFrame:
        """One row per trial of the plan: `frames.STATE_COLUMNS`."""
        return frames.states_frame(zip(plan.all_trials, self.each(self.status, plan.all_trials), strict=True))

    def cases_frame(self, plan: Plan, *, done: Collection[str] | None = None, coded: bool = False) -> pd.DataFrame:
        """Scores of every done trial of the plan, of wanted cases only: CASE_COLUMNS.

        `done` names the done trials where they are known: telling takes as long as reading them. With `coded` text is
        sorted categories.
        """
        specs = self._done(plan.trials) if done is None else [spec for spec in plan.trials if spec.trial_id in done]
        tables = self.each(lambda spec: read_table(self.paths(spec.trial_id).cases), specs)
        return frames.scores_of(specs, tables, coded=coded)

    def curves(self, trial_id: str) -> pd.DataFrame:
        """Curves of one trial so far, with `trial_id` in front; no row when there are none."""
        table = frames.curves_or_none(self.paths(trial_id))
        return frames.curves_of({} if table is None else {trial_id: table})

    def curves_frame(self, plan: Plan, *, unfinished: bool = False, coded: bool = False) -> pd.DataFrame:
        """Curves of every done trial of the plan, pretraining too: `trial_id` and CURVE_COLUMNS.

        Args:
            plan: The plan.
            unfinished: Take the curves of trials that are not done, too.
            coded: Text as sorted categories.
        """
        wanted = plan.all_trials if unfinished else self._done(plan.all_trials)
        tables = self.each(lambda spec: frames.curves_or_none(self.paths(spec.trial_id)), wanted)
        return frames.curves_of(
            {spec.trial_id: table for spec, table in zip(wanted, tables, strict=True) if table is not None},
            coded=coded,
        )

    def _done(self, specs: Sequence[TrialSpec]) -> list[TrialSpec]:
        states = self.states_of(specs)
        return [spec for spec in specs if states[spec.trial_id] is TrialState.DONE]

    def _write_spec(self, spec: TrialSpec) -> None:
        """Write spec.json unless it says the same already, keeping the date of the first time."""
        path = self.paths(spec.trial_id).spec
        old = read_json(path) or {}
        new = {**spec.to_json(), _CREATED: old.get(_CREATED) or utc_now()}
        if new != old:
            write_json(path, new)
