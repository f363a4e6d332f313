"""A lane: one group of Train workers that takes trial after trial, so that only the first pays for starting processes.

Train starts controller, helpers and workers anew for every run, some ten seconds of processor time. So a run is kept
open: its workers ask a desk for the next trial, tell the desk what they would report, and end when nothing comes.
Whatever broke takes its processes with it: after a death, a restart or a failed trial the lane ends, and the next trial
gets a new one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dgsweep.execution.job import TrialJob

IDLE_S = 5.0
"""So long workers keep their processors while no trial comes; others may wait for them."""
ENDED = "ended"
"""Key of the report by which rank 0 tells that a trial is over."""
OVER = "over"
"""Key of the last thing that a desk tells: the Train run has ended."""
CLOSE_S = 30.0

Report = dict[str, Any]


class Desk:
    """An actor between the Tune part, which lays trials and hears reports, and the workers, who take and tell."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._job: TrialJob | None = None
        self._number = 0
        self._seen: set[int] = set()
        self._closed = self._last = False
        self._reports: deque[Report] = deque()
        self._changed = asyncio.Condition()

    async def lay(self, job: TrialJob) -> bool:
        """Lay down the next trial; False where the lane takes none any more."""
        async with self._changed:
            if not self._closed:
                self._job, self._number = job, self._number + 1
                self._changed.notify_all()
            return not self._closed

    async def take(self, rank: int, after: int) -> tuple[int, TrialJob] | None:
        """The trial laid after number `after`, which a worker waits for; None when it is to end.

        A worker that asks for the first one although its rank has asked before is in the place of one that died: it
        gets what that one had, and the lane takes no trial after it.
        """
        async with self._changed:
            if after == 0 and rank in self._seen:
                self._last = True
                self._closed = self._closed or self._job is None
            self._seen.add(rank)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s):
                    await self._changed.wait_for(lambda: self._closed or self._laid(after))
            if self._laid(after) and self._job is not None:
                return self._number, self._job
            self._closed = True
            self._changed.notify_all()
            return None

    def _laid(self, after: int) -> bool:
        return self._job is not None and self._number > after

    async def tell(self, report: Report) -> None:
        """Pass a report on."""
        async with self._changed:
            self._reports.append(report)
            self._changed.notify_all()

    async def end(self, *, last: bool) -> None:
        """Note that the trial is over, and whether the workers are to end with it."""
        async with self._changed:
            self._job = None
            self._closed = self._closed or last or self._last
        await self.tell({ENDED: True})

    async def hear(self) -> Report:
        """Wait for the next report."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._reports))
            return self._reports.popleft()

    async def close(self) -> None:
        """Send the workers home as soon as they ask."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


class LaneOverError(Exception):
    """The Train run ended in the middle of a trial; its cause is the error of Train."""


class Lane:
    """A Train run in a thread of this process, which is the Tune part's.

    Args:
        trainer: Makes the run, given the desk that its workers shall ask.
        idle_s: So long its workers wait for a next trial.
    """

    def __init__(self, trainer: Callable[[Any], ray.train.torch.TorchTrainer], idle_s: float = IDLE_S) -> None:
        node = ray.get_runtime_context().get_node_id()
        here = NodeAffinitySchedulingStrategy(node, soft=False)  # it dies with us, not before
        self._desk = ray.remote(num_cpus=0, scheduling_strategy=here)(Desk).remote(idle_s)
        self._trainer = trainer
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._fit, name="lane", daemon=True)

    @property
    def new(self) -> bool:
        """Whether it has had no trial yet."""
        return self._thread.ident is None

    def takes(self, job: TrialJob) -> bool:
        """Give the lane a trial; False where it has ended or is about to."""
        with suppress(RayError):
            if ray.get(self._desk.lay.remote(job)):
                if self.new:
                    self._thread.start()
                return True
        return False

    def reports(self) -> Iterator[Report]:
        """What the workers report of the trial, until it is over.

        Raises:
            LaneOverError: The Train run ended before.
        """
        while ENDED not in (report := ray.get(self._desk.hear.remote())):
            if OVER in report:
                raise LaneOverError(f"the Train run ended in the middle of a trial: {self._failure}") from self._failure
            yield report

    def close(self) -> None:
        """Let the workers end, and wait until they have given back what they held."""
        with suppress(RayError):
            ray.get(self._desk.close.remote())
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _fit(self) -> None:
        try:
            self._trainer(self._desk).fit()
        except (RayError, ray.train.TrainingFailedError) as failure:
            self._failure = failure
        finally:  # whatever ended it, nobody may wait for it
            with suppress(RayError):
                ray.get([self._desk.close.remote(), self._desk.tell.remote({OVER: True})])


def trials_of(desk: Any, rank: int) -> Iterator[TrialJob]:
    """The trials that a worker of this rank takes, one after the other. Runs in a Train worker."""
    number = 0
    while (given := ray.get(desk.take.remote(rank, number))) is not None:
        number, job = given
        yield job
