"""How calls are timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FEW = 4


@dataclass(frozen=True)
class Way:
    """One of several ways to the same answers: `start` gets new inputs ready and returns what is to be timed."""

    inputs: Callable[[int], list[Any]]
    count: int
    start: Callable[[list[Any]], Callable[[], Any]]


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def medians(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each call, which take turns, so that a busy machine slows all of them alike."""
    turns = [{name: seconds(call) for name, call in calls.items()} for _ in range(rounds)]
    return {name: statistics.median(turn[name] for turn in turns) for name in calls}


def medians_of_new(ways: Mapping[str, Way], rounds: int) -> dict[str, float]:
    """Seconds that one input takes each way, the median of turns; a first turn of few inputs does not count.

    Every turn has inputs of its own, made and encoded before the clock runs.
    """
    for way in ways.values():
        way.start(way.inputs(min(way.count, FEW)))()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            run = way.start(way.inputs(way.count))
            taken[name].append(seconds(run) / way.count)
    return {name: statistics.median(each) for name, each in taken.items()}


def percentiles(durations: Iterable[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    cuts = statistics.quantiles(durations, n=100, method="inclusive")
    return {"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000}
