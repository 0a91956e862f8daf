"""Which job runs next, and with which others: priority, deadlines, batching by cost, failure confined.

`JobQueue` decides and has neither threads nor a clock; `Stage` owns the threads that run what it
decides. Both know nothing of models or media: a payload goes in, a result or an exception comes out.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from weaviate_prism.errors import DeadlineExceeded, Internal, PrismError, TooLarge, Unavailable
from weaviate_prism.metrics import Metrics
from weaviate_prism.values import Priority

log = logging.getLogger(__name__)

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


class Stage(Generic[P, R]):
    """Threads that run batches of jobs. A failed batch is halved until only the guilty job fails."""

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[P]], Sequence[R]],
        *,
        metrics: Metrics,
        threads: int = 1,
        batch_cost: int = 1,
        clock: Callable[[], float] = time.monotonic,
        on_death: Callable[[str], object] = lambda reason: None,
    ) -> None:
        self.name = name
        self._run = run
        self._metrics = metrics
        self._clock = clock
        self._on_death = on_death
        self._queue: JobQueue[P, R] = JobQueue(batch_cost)
        self._wake = threading.Condition()
        self._closed = ""  # why no more jobs are taken
        self._threads = [
            threading.Thread(target=self._work, name=f"prism-{name}-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, payload: P, ticket: Ticket, *, cost: int = 1, group: Hashable = None) -> Future[R]:
        """Queues one payload; cancelling the future before it runs drops it.

        Raises:
            Unavailable: the stage is closed or its thread died.
        """
        job: Job[P, R] = Job(payload, ticket, cost, group, self._clock())
        with self._wake:
            if self._closed:
                raise Unavailable(self._closed)
            self._queue.put(job)
            self._metrics.queue_depth.labels(self.name).set(len(self._queue))
            self._wake.notify()
        return job.future

    def close(self, reason: str = "the service is shutting down") -> None:
        """Takes no more jobs and fails those that wait; what runs, ends."""
        with self._wake:
            self._closed = self._closed or reason
            waiting = self._queue.drain()
            self._wake.notify_all()
        for job in waiting:
            job.future.set_exception(Unavailable(self._closed))

    def join(self, timeout: float) -> None:
        """Waits for the threads of a closed stage."""
        for thread in self._threads:
            thread.join(timeout)

    def _work(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:  # whatever ends the thread must be told, or callers wait forever
            log.critical("the %s thread died", self.name, exc_info=error)
            reason = f"the {self.name} thread died: {type(error).__name__}"
            self.close(reason)
            self._on_death(reason)

    def _turn(self) -> bool:
        """One batch; its own frame, so that an idle thread holds no payload."""
        batch = self._next_batch()
        if batch is not None:
            self._process(batch)
        return batch is not None

    def _next_batch(self) -> list[Job[P, R]] | None:
        """Waits for work; None when the stage is closed."""
        while True:
            with self._wake:
                while not len(self._queue) and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return None
                before = len(self._queue)
                now = self._clock()
                batch, late = self._queue.take(now)
                self._metrics.queue_depth.labels(self.name).set(len(self._queue))
                gone = before - len(self._queue) - len(batch) - len(late)
            self._metrics.dropped.labels("caller_gone").inc(gone)
            self._metrics.dropped.labels("deadline").inc(len(late))
            for job in late:
                job.future.set_exception(DeadlineExceeded("the deadline passed while it waited for the model"))
            if batch:
                for job in batch:
                    self._metrics.queue_seconds.labels(self.name).observe(now - job.queued)
                return batch

    def _process(self, batch: Sequence[Job[P, R]]) -> None:
        """Runs a batch and answers every job in it, whatever happens.

        Raises:
            DeviceLost: after every job has its error.
        """
        started = self._clock()
        try:
            results = self._run([job.payload for job in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{self.name}: {len(batch)} in, {len(results)} out")
        except DeviceLost:
            for job in batch:
                job.future.set_exception(Internal("the device failed"))
            raise
        except BaseException as error:  # confined to the batch, then to the job; panics of Rust are no Exceptions
            self._split(batch, error)
        else:
            for job, result in zip(batch, results, strict=True):
                job.future.set_result(result)
            self._metrics.stage_seconds.labels(self.name).observe(self._clock() - started)
            self._metrics.batch_items.labels(self.name).observe(len(batch))

    def _split(self, batch: Sequence[Job[P, R]], error: BaseException) -> None:
        if len(batch) == 1:
            batch[0].future.set_exception(batch[0].context.run(self._fit_for_client, error))
            return
        self._metrics.batch_splits.labels(self.name).inc()
        log.warning("a batch of %d failed in %s (%s); halving it", len(batch), self.name, type(error).__name__)
        middle = len(batch) // 2
        for position, half in enumerate((batch[:middle], batch[middle:])):
            try:
                self._process(half)
            except DeviceLost:
                if position == 0:
                    for job in batch[middle:]:
                        job.future.set_exception(Internal("the device failed"))
                raise

    def _fit_for_client(self, error: BaseException) -> PrismError:
        if isinstance(error, PrismError):
            return error
        if isinstance(error, MemoryError):
            return TooLarge("does not fit into the memory that is left")
        log.error("%s failed", self.name, exc_info=error)
        return Internal("the service failed on this item; its log has the details")


def ticket(priority: Priority, deadline: float, clock: Callable[[], float] = time.monotonic) -> Ticket:
    """A ticket for work that arrives now."""
    return Ticket(priority, clock(), deadline)
