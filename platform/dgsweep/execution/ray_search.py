"""What Tune asks while it places trials: which comes next."""

from collections.abc import Mapping
from typing import Any

from ray.tune.search import Searcher

from dgsweep.execution.events import Work
from dgsweep.execution.ray_trial import Shipment


class Handout(Searcher):
    """Hands out the planned trials in their order, then those that are proposed as workers get free.

    Tune keeps copies of a searcher for a restore that is never used; the ledger is what a sweep goes on from.
    """

    def __init__(self, work: Work, shipment: Shipment) -> None:
        super().__init__()
        self._planned = iter([{"trial_id": job.spec["trial_id"]} for job in work.jobs])
        self._work, self._shipment = work, shipment

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what cannot be pickled."""
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: Mapping[str, Any], **_: Any) -> bool:
        """Refuse a parameter space: there is none."""
        return False

    def suggest(self, trial_id: str) -> Any:
        """Give the next trial; Tune's own id of it is of no interest."""
        planned = next(self._planned, None)
        if planned is not None:
            return planned
        job = self._work.more()
        return Searcher.FINISHED if job is None else self._shipment.config(job)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the listener is told."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""
