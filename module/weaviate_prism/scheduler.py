"""Which job runs next, and with which others: by priority, deadline and cost.

Only decides, and has neither threads nor a clock; `stages.py` has the threads that do as it says. Knows
nothing of models or media.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from weaviate_prism.values import Priority

P = TypeVar("P")
R = TypeVar("R")

# A bulk job is overtaken by queries that arrive up to this much later, then it is as urgent as they are:
# well inside the 50 s after which Weaviate gives up, so that bulk inserts never starve.
AGEING_SECONDS = 10.0


class DeviceLost(RuntimeError):
    """The device cannot go on (a CUDA error that sticks); ends the stage that meets it."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """How urgent a piece of work is; travels with it through all stages."""

    priority: Priority
    arrived: float  # time.monotonic() seconds
    deadline: float  # likewise

    @property
    def due(self) -> float:
        return self.arrived + (AGEING_SECONDS if self.priority is Priority.BULK else 0.0)


@dataclass(slots=True)
class Job(Generic[P, R]):
    """One payload on its way through a stage."""

    payload: P
    ticket: Ticket
    cost: int
    group: Hashable
    queued: float
    future: Future[R] = field(default_factory=Future)
    context: Context = field(default_factory=copy_context)  # of whoever queued it, for the log


class JobQueue(Generic[P, R]):
    """Jobs by urgency, apart by group. Not thread-safe: the stage holds a lock."""

    def __init__(self, batch_cost: int) -> None:
        self.batch_cost = batch_cost
        self._groups: dict[Hashable, list[tuple[float, int, Job[P, R]]]] = {}
        self._order = itertools.count()  # first come, first served among equals
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, job: Job[P, R]) -> None:
        heapq.heappush(self._groups.setdefault(job.group, []), (job.ticket.due, next(self._order), job))
        self._length += 1

    def take(self, now: float) -> tuple[list[Job[P, R]], list[Job[P, R]]]:
        """The next batch, and the jobs met on the way whose deadline is past.

        The batch is led by the most urgent job of all and filled from its group while its largest
        cost times its length stays within the budget. Jobs of departed callers are left out.
        """
        batch: list[Job[P, R]] = []
        late: list[Job[P, R]] = []
        longest = 0
        while (job := self._next(batch)) is not None:
            if batch and max(longest, job.cost) * (len(batch) + 1) > self.batch_cost:
                break
            self._pop(job.group)
            if not job.future.set_running_or_notify_cancel():
                continue
            if job.ticket.deadline <= now:
                late.append(job)
                continue
            batch.append(job)
            longest = max(longest, job.cost)
        return batch, late

    def drain(self) -> list[Job[P, R]]:
        """Everything that still waits."""
        jobs = [entry[2] for heap in self._groups.values() for entry in heap]
        self._groups.clear()
        self._length = 0
        return [job for job in jobs if job.future.set_running_or_notify_cancel()]

    def _next(self, batch: Sequence[Job[P, R]]) -> Job[P, R] | None:
        """The most urgent job of the batch's group, or of all while the batch is empty."""
        heaps = [self._groups.get(batch[0].group, [])] if batch else self._groups.values()
        return min((heap[0] for heap in heaps if heap), default=(0.0, 0, None))[2]

    def _pop(self, group: Hashable) -> None:
        heap = self._groups[group]
        heapq.heappop(heap)
        self._length -= 1
        if not heap:
            del self._groups[group]


def ticket(priority: Priority, deadline: float, clock: Callable[[], float] = time.monotonic) -> Ticket:
    """A ticket for work that arrives now."""
    return Ticket(priority, clock(), deadline)
