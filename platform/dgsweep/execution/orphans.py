"""Frees what drivers that were killed left behind on a cluster that lives on.

Seen on Ray 2.60, in both of two kills: a Train controller outlives its driver by a moment, asks for a placement group
in place of the workers that died, and Ray, which has already removed those of the dead job, grants it. Nobody ever
gives its processors back, and the next run waits for them for ever.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayError
from ray.util import remove_placement_group
from ray.util.placement_group import PlacementGroup
from ray.util.state import list_jobs, list_placement_groups
from ray.util.state.exception import RayStateApiException

LOOK_EVERY_S = 30.0
"""The driver before may have been killed a moment ago, so looking once is not enough."""
MOST = 10_000
TIMEOUT_S = 20
_LOG = logging.getLogger(__name__)


def remove_orphans() -> int:
    """Remove the placement groups of jobs that have ended, which Ray promises to do itself; how many there were.

    Detached groups are meant to outlive their job and stay.
    """
    jobs = list_jobs(limit=MOST, timeout=TIMEOUT_S, raise_on_missing_output=False)
    ended = {job.job_id for job in jobs if job.status not in {"PENDING", "RUNNING"}}
    groups = list_placement_groups(
        filters=[("state", "!=", "REMOVED")], limit=MOST, detail=True, timeout=TIMEOUT_S, raise_on_missing_output=False
    )
    orphans = [group for group in groups if group.creator_job_id in ended and not group.is_detached]
    for group in orphans:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(group.placement_group_id)))
    return len(orphans)


@contextmanager
def orphans_removed() -> Iterator[None]:
    """Remove orphans at once and every LOOK_EVERY_S until the block ends."""
    over = threading.Event()
    thread = threading.Thread(target=_look, args=(over,), name="orphans", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(TIMEOUT_S)


def _look(over: threading.Event) -> None:
    wait_s = 0.0
    while not over.wait(wait_s):
        wait_s = LOOK_EVERY_S
        try:
            removed = remove_orphans()
        except (RayStateApiException, RayError, OSError) as failure:  # no dashboard, or the head is away
            _LOG.debug("placement groups cannot be listed: %s", failure)
            continue
        if removed:
            _LOG.warning("%d placement group(s) of jobs that have ended held resources; they are free now", removed)
