"""Frees processors that nobody uses, on a cluster that lives on.

Ray 2.60 leaks placement groups in two ways, both seen while things were killed at random. A Train controller outlives
its driver by a moment, asks for a group in place of the workers that died, and Ray, which has already removed those of
the dead job, grants it. Or the Tune part of a trial dies, or a raylet, just while its controller asks. Nobody gives
such processors back, and trials wait for them for ever.
"""

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import remove_placement_group
from ray.util.placement_group import PlacementGroup
from ray.util.state import list_actors, list_jobs, list_placement_groups
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
    return _remove({
        group.placement_group_id for group in groups if group.creator_job_id in ended and not group.is_detached
    })  # fmt: skip


def idle_groups(job_id: str) -> set[str]:
    """Ids of the groups of a job that hold processors and no actor; one that was made just now is among them."""
    groups = list_placement_groups(
        filters=[("state", "=", "CREATED")], limit=MOST, detail=True, timeout=TIMEOUT_S, raise_on_missing_output=False
    )
    actors = list_actors(
        filters=[("state", "!=", "DEAD"), ("job_id", "=", job_id)],
        limit=MOST, detail=True, timeout=TIMEOUT_S, raise_on_missing_output=False,
    )  # fmt: skip
    used = {actor.placement_group_id for actor in actors}
    return {
        group.placement_group_id
        for group in groups
        if group.creator_job_id == job_id and group.placement_group_id not in used and _holds_processors(group.bundles)
    }


def _holds_processors(bundles: Any) -> bool:
    """Not so a group of Tune, which waits for its trial with one byte of memory."""
    return any(set(bundle["unit_resources"]) - {"memory"} for bundle in bundles or ())


def _remove(group_ids: Collection[str]) -> int:
    for group_id in group_ids:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(group_id)))
    return len(group_ids)


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
    wait_s, idle, job_id = 0.0, set[str](), ray.get_runtime_context().get_job_id()
    while not over.wait(wait_s):
        wait_s = LOOK_EVERY_S
        try:
            removed, before, idle = remove_orphans(), idle, idle_groups(job_id)
            removed += _remove(idle & before)  # Train fills a group within seconds
        except (RayStateApiException, RayError, OSError) as failure:  # no dashboard, or the head is away
            _LOG.debug("placement groups cannot be listed: %s", failure)
            continue
        if removed:
            _LOG.warning("%d placement group(s) held resources that nobody used; they are free now", removed)
