"""Callers in closed loops on one device, by a clock of our own: who waits for whom, and what that gains."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from weaviate_prism.scheduling.batching import Limits, Size
from weaviate_prism.scheduling.jobs import Job, Ticket, Work
from weaviate_prism.scheduling.pace import Pace
from weaviate_prism.scheduling.queries import Queries
from weaviate_prism.scheduling.returning import MOST_IN_VAIN, SOON_SECONDS, Returning
from weaviate_prism.scheduling.scheduler import JobQueue
from weaviate_prism.values import Priority

FIXED, EACH = 0.04, 0.01  # seconds of a batch
TURNAROUND = 0.005  # from an answer to the next request


@dataclass(frozen=True)
class Caller:
    """Asks for `inputs` at `first`, and again a while after each answer."""

    first: float = 0.0
    turnaround: float = TURNAROUND
    inputs: int = 1
    group: Hashable = None
    bulk: bool = False


class Device:
    """The thread of `stage.py`, and its callers."""

    def __init__(self, callers: Sequence[Caller], fixed: float = FIXED) -> None:
        pace = Pace()
        pace.parts = np.array([fixed, EACH, 0.0, 0.0])
        self._pace = pace
        self._queue: JobQueue[Caller, None] = JobQueue(Limits(10_000, pace), Queries())
        self._order = itertools.count()
        self._coming = [(caller.first, next(self._order), caller) for caller in callers]
        heapq.heapify(self._coming)
        self.now = self.held = 0.0
        self.answered = 0

    def run(self, batches: int) -> list[int]:
        """The inputs of each."""
        return [self._batch() for _ in range(batches)]

    def _batch(self) -> int:
        self._come(self.now)
        while not len(self._queue) or self._queue.hold(self.now) > 0:
            until = self.now + self._queue.hold(self.now) if len(self._queue) else float("inf")
            before, self.now = self.now, min([until, *(at for at, _, _ in self._coming[:1])])
            self.held += self.now - before if len(self._queue) else 0.0
            self._come(self.now)
        batch, _ = self._queue.take(self.now)
        self.now += self._pace.seconds((len(batch), 0, 0))
        self._come(self.now)
        self._queue.ended(batch, self.now)
        for work, job in {job.ticket.work: job for job in batch}.items():
            work.seconds -= EACH * sum(one.ticket.work is work for one in batch)
            if work.seconds < EACH / 2:
                self.answered += 1
                again = self.now + job.payload.turnaround
                heapq.heappush(self._coming, (again, next(self._order), job.payload))
        return len(batch)

    def _come(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            at, _, caller = heapq.heappop(self._coming)
            ticket = Ticket(Priority.BULK if caller.bulk else Priority.QUERY, at, 1e9, Work(EACH * caller.inputs))
            for _ in range(caller.inputs):
                self._queue.put(Job(caller, ticket, at, Size(0, 0, 0), caller.group))


@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize("late", [1, 5, 8])
def test_callers_who_came_apart_soon_share_all_their_batches(late: int, bulk: bool) -> None:
    device = Device([Caller(0.01 if number < late else 0.0, bulk=bulk) for number in range(16)])
    assert device.run(1) == [16 - late]
    device.run(7)
    assert device.run(5) == [16] * 5


def test_callers_who_return_one_after_the_other_share_them_too() -> None:
    device = Device([Caller(0.0 if number else 0.01, TURNAROUND + number * 0.001) for number in range(16)])
    device.run(8)
    assert device.run(5) == [16] * 5


def test_one_who_leaves_is_waited_for_once() -> None:
    """Who thinks for so long comes again after some batches of the others."""
    device = Device([*(Caller() for _ in range(7)), Caller(0.01), Caller(turnaround=0.5)])
    held = []
    for _ in range(40):
        before = device.held
        device.run(1)
        held.append(device.held - before > 2 * TURNAROUND)
    assert 4 <= sum(held) <= 40 / 4


@pytest.mark.parametrize(
    "callers",
    [
        pytest.param([Caller(), Caller(0.01, inputs=4), Caller(0.02, group="other")], id="few"),
        pytest.param([Caller(group="text"), Caller(0.01, group="picture")], id="of two kinds"),
        pytest.param([Caller(inputs=32), Caller(0.01, inputs=32)], id="too long for one batch"),
        pytest.param([*(Caller() for _ in range(8)), *(Caller(0.01, group="other") for _ in range(8))], id="two pools"),
        pytest.param([Caller(number / 7, 0.2 + number / 9) for number in range(9)], id="who think in between"),
        pytest.param([Caller(inputs=4)], id="alone"),
        pytest.param([*(Caller(number / 100, inputs=8, bulk=True) for number in range(4)), Caller()], id="beside bulk"),
    ],
)
def test_nobody_is_waited_for_in_vain_for_long(callers: list[Caller], monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(callers)
    device.run(300)
    monkeypatch.setattr("weaviate_prism.scheduling.returning.SOON_SECONDS", 0.0)
    never = Device(callers)
    never.run(300)
    assert device.answered / device.now > 0.98 * never.answered / never.now


def test_who_waits_does_so_no_longer_than_fixed_costs_or_what_is_soon() -> None:
    for fixed in (FIXED, 10 * SOON_SECONDS):
        device = Device([*(Caller() for _ in range(3)), Caller(0.01)], fixed)
        device.run(6)
        before = device.held
        device._coming = [(at + 10.0, order, caller) for at, order, caller in device._coming[:1]] + device._coming[1:]
        heapq.heapify(device._coming)
        device.run(1)
        assert TURNAROUND < device.held - before <= min(fixed, SOON_SECONDS) + 1e-9


def test_it_is_tried_again_once_others_ask() -> None:
    device = Device([Caller(group="text"), Caller(0.01, group="picture")])
    device.run(300)
    device._queue.drain()
    device._coming = [(device.now + (0.0 if number else 0.01), number, Caller()) for number in range(16)]
    heapq.heapify(device._coming)
    device.run(MOST_IN_VAIN + 8)
    assert device.run(5) == [16] * 5


def test_who_comes_late_was_not_waited_for_in_vain() -> None:
    returning = Returning()
    returning.ended(shared=2, answered=2, waiting=0, now=0.0)
    assert returning.awaited(1, FIXED, 1.0) == 0.0
    returning.ended(shared=1, answered=1, waiting=1, now=1.1)
    assert returning.awaited(1, FIXED, 1.1) == pytest.approx(FIXED)


def test_a_query_waits_for_no_insert() -> None:
    device = Device([Caller(turnaround=TURNAROUND * number, bulk=True) for number in range(1, 5)])
    device.run(6)
    now = device._coming[0][0]
    device._come(now)
    assert device._queue.hold(now) > 0
    query: Job[Caller, None] = Job(Caller(), Ticket(Priority.QUERY, now, 1e9), now, Size(0, 0, 0))
    device._queue.put(query)
    assert device._queue.hold(now) == 0
    assert device._queue.take(now)[0] == [query]
