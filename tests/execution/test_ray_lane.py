"""The desk at which Train workers take one trial after the other, without Ray around it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from execution_stand_in import make_job

from dgsweep.execution.ray_lane import ENDED, Desk

IDLE_S = 0.2


def run(steps: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(steps, 10))


def test_a_worker_gets_each_trial_once_and_waits_for_the_next() -> None:
    async def steps() -> list[str]:
        desk = Desk(IDLE_S)
        await desk.lay(make_job("one"))
        number, first = await desk.take(0, 0)
        await desk.end(last=False)
        waiting = asyncio.create_task(desk.take(0, number))
        await asyncio.sleep(IDLE_S / 4)
        assert not waiting.done()
        await desk.lay(make_job("two"))
        _, second = await waiting
        return [first.spec["trial_id"], second.spec["trial_id"]]

    assert run(steps()) == ["one", "two"]


def test_all_ranks_get_the_same_trial() -> None:
    async def steps() -> None:
        desk = Desk(IDLE_S)
        waiting = [asyncio.create_task(desk.take(rank, 0)) for rank in (0, 1)]
        await desk.lay(make_job("one"))
        assert [job.spec["trial_id"] for _, job in await asyncio.gather(*waiting)] == ["one", "one"]

    run(steps())


def test_workers_that_wait_in_vain_go_home_and_the_lane_takes_no_trial_any_more() -> None:
    async def steps() -> None:
        desk = Desk(IDLE_S)
        assert await desk.lay(make_job("one"))  # the control: an open lane does
        number, _ = await desk.take(0, 0)
        await desk.end(last=False)
        assert await desk.take(0, number) is None
        assert not await desk.lay(make_job("two"))

    run(steps())


def test_a_worker_in_the_place_of_one_that_died_gets_its_trial_and_no_further_one() -> None:
    async def steps() -> None:
        desk = Desk(IDLE_S)
        await desk.lay(make_job("one"))
        await desk.take(0, 0)
        number, again = await desk.take(0, 0)
        assert again.spec["trial_id"] == "one"
        await desk.end(last=False)
        assert await desk.take(0, number) is None
        assert not await desk.lay(make_job("two"))

    run(steps())


def test_a_worker_that_died_between_trials_ends_the_lane_and_does_no_trial_twice() -> None:
    async def steps() -> None:
        desk = Desk(IDLE_S)
        await desk.lay(make_job("one"))
        await desk.take(0, 0)
        await desk.end(last=False)
        assert await desk.take(0, 0) is None

    run(steps())


def test_the_end_of_a_trial_is_heard_after_its_reports() -> None:
    async def steps() -> list[dict[str, Any]]:
        desk = Desk(IDLE_S)
        await desk.lay(make_job("one"))
        await desk.tell({"step": 1})
        await desk.tell({"step": 2})
        await desk.end(last=True)
        return [await desk.hear() for _ in range(3)]

    assert run(steps()) == [{"step": 1}, {"step": 2}, {ENDED: True}]
