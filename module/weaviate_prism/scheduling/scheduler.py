"""Which job runs next, and with which others: queries first, then whoever needs least, and nobody starves.

Only decides, and has neither threads nor a clock; `stage.py` has the threads that do as it says. Knows
nothing of models or media.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from weaviate_prism.scheduling.batching import SHORT, Limits, Size
from weaviate_prism.scheduling.jobs import AGED_TURN, AGEING_SECONDS, Job, Lines, Place, Ticket, Work, kind_of, like
from weaviate_prism.scheduling.queries import Queries
from weaviate_prism.scheduling.returning import Returning
from weaviate_prism.values import Priority

P = TypeVar("P")
R = TypeVar("R")

# Queries come in trains: so long after the last one, inserts leave room for the next.
QUERIES_EXPECTED_SECONDS = 2.0
# Queries overtake a batch of inserts that runs, and it then goes on for a third of the time that they took before the
# next ones do: a quarter of the time is left to it, however many search. Behind 12-megapixel inserts to CLIP, queries
# then take 1.7 times as long as on an idle service (p50), and 3.9 objects a second are inserted; with a half 2.0 times,
# and 5.1.
INSERTS_PART = 1 / 3


class DeviceLost(RuntimeError):
    """The device cannot go on (a CUDA error that sticks); ends the stage that meets it."""


class _Waiting(Lines[P, R]):
    """The jobs of one work in one queue."""

    def __init__(self, ticket: Ticket) -> None:
        super().__init__()
        self.work = ticket.work
        self.priority = ticket.priority
        self.arrived = ticket.arrived
        self.rank: tuple[float, float] | None = None  # under which it stands in the heap

    def ranked(self) -> tuple[float, float]:
        self.rank = (self.work.seconds, self.arrived)
        return self.rank


class JobQueue(Generic[P, R]):
    """Jobs of works, of which the one with the least left goes first. Not thread-safe: the stage holds a lock."""

    def __init__(self, limits: Limits, queries: Queries) -> None:
        self.limits = limits
        self._queries = queries  # here and in the queues of other models
        self._works: dict[Priority, dict[Work, _Waiting[P, R]]] = {priority: {} for priority in Priority}
        self._heaps: dict[Priority, list[tuple[tuple[float, float], int, _Waiting[P, R]]]] = {p: [] for p in Priority}
        self._all: Lines[P, R] = Lines()
        self._arrivals: list[tuple[float, int, Place[P, R]]] = []  # a heap
        self._counts = dict.fromkeys(Priority, 0)
        self._order = itertools.count()  # first come, first served among equals
        self._turns = itertools.count(1)
        # the works of the last batches: what is left of them may have become less
        self._led: dict[Priority, deque[_Waiting[P, R]]] = {priority: deque(maxlen=2) for priority in Priority}
        self._next_overtaking = float("-inf")  # not before then
        self._returning = {priority: Returning() for priority in Priority}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def count(self, priority: Priority) -> int:
        """How many of this priority wait."""
        return self._counts[priority]

    def put(self, job: Job[P, R]) -> Place[P, R]:
        """Where it stands from now on, for `leave_out`."""
        place, kind = Place(job), kind_of(job)
        works, work = self._works[job.ticket.priority], job.ticket.work
        if (waiting := works.get(work)) is None:
            waiting = works[work] = _Waiting(job.ticket)
        waiting.put(place, kind)
        self._all.put(place, kind)
        heapq.heappush(self._arrivals, (job.ticket.arrived, next(self._order), place))
        self._counts[job.ticket.priority] += 1
        if job.ticket.priority is Priority.QUERY:
            self._queries.came(job.queued)
        self._rank(waiting)
        return place

    def leave_out(self, place: Place[P, R]) -> Job[P, R] | None:
        """Whose caller has gone, if it still waited."""
        if place.job is None:
            return None
        job = self._remove(place)
        if not len(self):
            self._forget()
        return job

    def hold(self, now: float) -> float:
        """Seconds to wait for others, though there is something to be taken; none without a pace."""
        if self.limits.pace is None or not len(self):
            return 0.0
        first = Priority.QUERY if self._counts[Priority.QUERY] else Priority.BULK
        return self._returning[first].awaited(len(self._works[first]), self.limits.pace.fixed, now)

    def ended(self, batch: Sequence[Job[P, R]], now: float) -> None:
        """It has been run, and nobody knows of it yet. Not for those who take one job each."""
        first = batch[0].ticket.priority
        shared, waiting = {job.ticket.work for job in batch}, self._works[first]
        answered = sum(work not in waiting for work in shared)
        self._returning[first].ended(len(shared), answered, len(waiting), now)

    def may_overtake(self, now: float) -> bool:
        """Whether queries wait, or those of another model run, and inserts have had their part of the device since
        the last ones overtook them.
        """
        return bool(self._counts[Priority.QUERY] or self._queries.running) and now >= self._next_overtaking

    def overtook(self, began: float, now: float) -> None:
        """Queries did, from then until now."""
        self._next_overtaking = now + (now - began) * INSERTS_PART

    def take(
        self, now: float, among: tuple[Priority, ...] = tuple(Priority)
    ) -> tuple[list[Job[P, R]], list[Job[P, R]]]:
        """The next batch, and the jobs met on the way whose deadline is past.

        The batch is led by a job of the work that goes first, and filled with its other jobs, then with those of
        others, as far as they are of a kind and within the limits. Jobs of departed callers are left out.
        """
        batch: list[Job[P, R]] = []
        late: list[Job[P, R]] = []
        for waiting in itertools.chain(*self._led.values()):
            self._rank(waiting)
        oldest = self._aged(now, among) is not None and next(self._turns) % AGED_TURN == 0
        while not batch and (place := self._leader(now, among, oldest)) is not None:
            self._admit(place, batch, late, now)
        if batch:
            leader = batch[0].ticket
            works = self._works[leader.priority]
            size = self._fill(batch, late, works.get(leader.work), batch[0].size, now)
            self._fill(batch, late, self._all, size, now)
            if (rest := works.get(leader.work)) is not None:
                self._led[leader.priority].append(rest)
        if not len(self):
            self._forget()
        return batch, late

    def drain(self) -> list[Job[P, R]]:
        """Everything that still waits."""
        jobs = []
        for _, _, place in sorted(self._arrivals):
            if place.job is not None and place.job.future.set_running_or_notify_cancel():
                jobs.append(place.job)
            place.job = None
        self._counts = dict.fromkeys(Priority, 0)
        self._forget()
        return jobs

    def _forget(self) -> None:
        """Nothing waits: what is left in the lines and heaps is outdated, and may keep what has ended."""
        for works in self._works.values():
            works.clear()
        self._arrivals.clear()
        for led in self._led.values():
            led.clear()
        self._all = Lines()
        for heap in self._heaps.values():
            heap.clear()

    # -- who goes first -----------------------------------------------------------------------

    def _leader(self, now: float, among: tuple[Priority, ...], oldest: bool) -> Place[P, R] | None:
        if oldest and (place := self._aged(now, among)) is not None:
            return place
        for priority in among:
            if (place := self._least(priority)) is not None:
                return place
        return None

    def _aged(self, now: float, among: tuple[Priority, ...]) -> Place[P, R] | None:
        """Whoever came first, if that is long ago."""
        while self._arrivals and self._arrivals[0][-1].job is None:
            heapq.heappop(self._arrivals)
        place = self._arrivals[0][-1] if self._arrivals else None
        if place is None or place.job is None or place.job.ticket.priority not in among:
            return None
        return place if place.job.ticket.arrived + AGEING_SECONDS <= now else None

    def _least(self, priority: Priority) -> Place[P, R] | None:
        """Of the work with the least left; entries of the heap whose rank is not the work's last are outdated."""
        heap = self._heaps[priority]
        while heap:
            rank, _, waiting = heap[0]
            if waiting.rank == rank and (place := waiting.any()) is not None:
                return place
            heapq.heappop(heap)
        return None

    def _rank(self, waiting: _Waiting[P, R]) -> None:
        """Puts a work into the heap where it is not, or has another rank by now."""
        if waiting.rank is None or waiting.rank != (waiting.work.seconds, waiting.arrived):
            heapq.heappush(self._heaps[waiting.priority], (waiting.ranked(), next(self._order), waiting))

    # -- with whom ----------------------------------------------------------------------------

    def _fill(
        self, batch: list[Job[P, R]], late: list[Job[P, R]], lines: Lines[P, R] | None, size: Size, now: float
    ) -> Size:
        """Takes jobs like the batch's first out of the lines as long as they fit; the size of the batch by now."""
        if lines is None:
            return size
        hurried = self._hurried(batch[0], now)
        inserts = batch[0].ticket.priority is Priority.BULK
        guests = lines is self._all and not inserts
        for kind in like(batch[0]):
            while (place := lines.first(kind)) is not None:
                assert place.job is not None
                larger = size + place.job.size
                # who is done by this batch is not one who waits behind it
                waits = hurried and not self._done_by_it(place.job, guests=guests)
                if not self.limits.allow(larger, hurried=waits, guests=guests, inserts=inserts):
                    break
                if self._admit(place, batch, late, now):
                    size = larger
        return size

    def _hurried(self, leader: Job[P, R], now: float) -> bool:
        """Whether another query waits behind the batch; inserts leave room for the next one, too."""
        if leader.ticket.priority is Priority.BULK:
            return now < self._queries.last + QUERIES_EXPECTED_SECONDS
        queries = self._works[Priority.QUERY]
        return any(work is not leader.ticket.work for work in itertools.islice(queries, 2))

    def _done_by_it(self, job: Job[P, R], *, guests: bool) -> bool:
        """Whether the batch does about all that is left of the job's work, such as the one text of a query, or the few
        documents of its leader.
        """
        pace, left = self.limits.pace, job.ticket.work.seconds
        if pace is None or job.ticket.priority is Priority.BULK:
            return False
        return left <= 2 * pace.more(job.size.shape) or (not guests and left <= SHORT * pace.fixed)

    def _admit(self, place: Place[P, R], batch: list[Job[P, R]], late: list[Job[P, R]], now: float) -> bool:
        """Takes a job out of all lines and into the batch, unless its caller has gone or its deadline is past."""
        job = self._remove(place)
        wanted = job.future.set_running_or_notify_cancel()
        if job.ticket.deadline <= now:
            late.append(job)  # who waited for it may have given it up just then
            return False
        if not wanted:
            return False
        batch.append(job)
        return True

    def _remove(self, place: Place[P, R]) -> Job[P, R]:
        """Out of all lines."""
        job, place.job = place.job, None
        assert job is not None
        self._counts[job.ticket.priority] -= 1
        works = self._works[job.ticket.priority]
        if works[job.ticket.work].any() is None:
            del works[job.ticket.work]
        return job
