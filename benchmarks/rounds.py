"""Alternating rounds: every contender once a round, so that a slow moment of the machine hits all."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round, after one call of each that is not counted."""
    for work in contenders.values():
        work()
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            seen[name].append(timed(work))
    return seen


def ratio(seen: Mapping[str, list[float]], peer: str, ours: str) -> float:
    """How many times as long the peer takes: the median over the rounds of the ratio within a round."""
    return median(theirs / own for theirs, own in zip(seen[peer], seen[ours], strict=True))
