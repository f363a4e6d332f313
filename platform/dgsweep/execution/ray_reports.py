"""Brings what the workers of a trial report to Tune, all of it by one thread of the trial's Tune part.

Ray 2.60's own `TuneReportCallback` lets the thread that takes results out of a queue of one put them in as well. Where
the last report of a trial and its end arrive together, as on a busy machine, that thread waits for itself and the sweep
for the trial, for ever (seen; the trial was finished). Here the end is told after the last report was taken.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.train import UserCallback
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class Forward(UserCallback):
    """Runs in Train's controller: hands on what rank 0 reported."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Hand one report on."""
        self._queue.put(metrics[0])


@contextmanager
def reports_forwarded() -> Iterator[Forward]:
    """Give a callback for Train whose reports reach Tune; every one has when the block ends."""
    here = NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )  # dies with us, not before
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    thread = threading.Thread(target=_forward, args=(queue,), name="reports", daemon=True)
    thread.start()
    try:
        yield Forward(queue)
    finally:
        with suppress(RayError):
            queue.put(None)
        thread.join()
        queue.shutdown(force=True)


def _forward(queue: Queue) -> None:
    """Until the end is told, or Tune stops the trial (which ends this thread) or the queue dies with the cluster."""
    with suppress(RayError):
        while (report := queue.get()) is not None:
            tune.report(report)
