"""Threads that run batches of jobs, in the order of `scheduler.py`, and answer each job whatever happens."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from weaviate_prism.cores import be_nice
from weaviate_prism.errors import DeadlineExceeded, Internal, PrismError, TooLarge, Unavailable
from weaviate_prism.metrics import Metrics
from weaviate_prism.scheduling.batching import Limits, Size
from weaviate_prism.scheduling.jobs import Job, Place, Ticket
from weaviate_prism.scheduling.queries import Queries
from weaviate_prism.scheduling.scheduler import DeviceLost, JobQueue
from weaviate_prism.values import Priority

log = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")


class Stage(Generic[P, R]):
    """Threads that run batches of jobs. A failed batch is halved until only the guilty job fails.

    Some more threads are `for_queries` only, so that none waits for a job of an insert. The others leave the cores to
    them, and to the devices, as far as their niceness says. Stages of one device share their `queries`. Without
    `limits`, each batch is one job.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[P]], Sequence[R]],
        *,
        metrics: Metrics,
        threads: int = 1,
        for_queries: int = 0,
        niceness: int = 0,
        limits: Limits | None = None,
        queries: Queries | None = None,
        model: str = "",
        clock: Callable[[], float] = time.monotonic,
        on_death: Callable[[str], object] = lambda reason: None,
    ) -> None:
        self.name = name
        self._run = run
        self._metrics = metrics
        self._labels = (name, model)
        self._depth = metrics.queue_depth.labels(*self._labels)
        self._waited = metrics.queue_seconds.labels(*self._labels)
        self._clock = clock
        self._on_death = on_death
        self._queries = queries or Queries()
        self._queue: JobQueue[P, R] = JobQueue(limits or Limits(cost=1), self._queries)
        self._niceness = niceness
        self._wake, self._wake_for_query = (threading.Condition(self._queries.lock) for _ in range(2))
        self._free_for_queries = for_queries  # threads that do nothing else, and nothing now
        self._running = dict.fromkeys(Priority, 0)  # batches, by the priority of their first
        self._closed = ""  # why no more jobs are taken
        kinds = [False] * threads + [True] * for_queries
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(queries_only,),
                name="-".join(filter(None, ("prism", name, model, str(number)))),
                daemon=True,
            )
            for number, queries_only in enumerate(kinds)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def threads(self) -> int:
        return len(self._threads)

    def running(self, priority: Priority) -> int:
        """How many threads run batches of this priority."""
        return self._running[priority]

    def waiting(self, priority: Priority) -> int:
        """How many jobs of this priority are not yet in a batch."""
        return self._queue.count(priority)

    def overtake(self) -> float:
        """For `run`, wherever it may pause: runs a batch of queries, if they wait for the inserts that it has, or waits
        for the one that another model of the device runs.

        Returns the seconds that this took.
        """
        began = self._clock()
        if self._running[Priority.QUERY] or not self._queue.may_overtake(began):
            return 0.0
        self._queries.wait(lambda: self._queue.count(Priority.QUERY))
        self._run_next((Priority.QUERY,))
        ended = self._clock()
        self._queue.overtook(began, ended)
        return ended - began

    def submit(self, payload: P, ticket: Ticket, *, size: Size = Size(), group: Hashable = None) -> Future[R]:  # noqa: B008
        """As `submit_together`, for one payload; cancelling the future before it runs drops it."""
        job: Job[P, R] = Job(payload, ticket, self._clock(), size, group)
        self.submit_together([job])
        return job.future

    def submit_together(self, jobs: Sequence[Job[P, R]]) -> None:
        """Queues all before a thread may take the first: an idle device would run it alone.

        Raises:
            Unavailable: the stage is closed or its thread died.
        """
        with self._wake:
            if self._closed:
                raise Unavailable(self._closed)
            for job in jobs:
                place = self._queue.put(job)
                job.future.add_done_callback(functools.partial(self._leave_out, place))
            self._depth.set(len(self._queue))
            self._wake_for_query.notify(sum(job.ticket.priority is Priority.QUERY for job in jobs))
            self._wake.notify(len(jobs))

    def close(self, reason: str = "the service is shutting down") -> None:
        """Takes no more jobs and fails those that wait; what runs, ends."""
        with self._wake:
            self._closed = self._closed or reason
            waiting = self._queue.drain()
            self._depth.set(0)
            self._wake.notify_all()
            self._wake_for_query.notify_all()
        for job in waiting:
            job.future.set_exception(Unavailable(self._closed))

    def join(self, timeout: float) -> None:
        """Waits for the threads of a closed stage."""
        for thread in self._threads:
            thread.join(timeout)

    def _work(self, queries_only: bool) -> None:
        if self._niceness and not queries_only:
            be_nice(self._niceness)
        try:
            while self._turn(queries_only):
                pass
        except BaseException as error:  # whatever ends the thread must be told, or callers wait forever
            log.critical("the %s thread died", self.name, exc_info=error)
            reason = f"the {self.name} thread died: {type(error).__name__}"
            self.close(reason)
            self._on_death(reason)

    def _turn(self, queries_only: bool) -> bool:
        """One batch, or none if somebody else took it; False when the stage is closed."""
        among = self._awaited(queries_only)
        if among is None:
            return False
        self._run_next(among, queries_only)
        return True

    def _awaited(self, queries_only: bool) -> tuple[Priority, ...] | None:
        """Waits until a thread may take something, and tells what; None when the stage is closed."""
        wake = self._wake_for_query if queries_only else self._wake
        with self._wake:
            while not self._closed:
                among = self._may_take(queries_only)
                hold = self._queue.hold(self._clock()) if among else None
                if hold == 0:
                    return among
                wake.wait(hold)
        return None

    def _run_next(self, among: tuple[Priority, ...], queries_only: bool = False) -> None:
        """One batch of these, if there is any; its own frame, so that an idle thread holds no payload."""
        batch = self._taken(among, queries_only)
        if not batch:
            return
        try:
            self._process(batch)
        finally:
            with self._wake:
                self._count_running(batch[0].ticket.priority, -1)
                if queries_only:
                    self._free_for_queries += 1

    def _taken(self, among: tuple[Priority, ...], queries_only: bool) -> list[Job[P, R]]:
        """The next batch; jobs that are too late have their answer."""
        with self._wake:
            now = self._clock()
            before = len(self._queue)
            batch, late = self._queue.take(now, among)
            self._depth.set(len(self._queue))
            gone = before - len(self._queue) - len(batch) - len(late)
            if batch:
                self._count_running(batch[0].ticket.priority, 1)
            if queries_only and batch:
                self._free_for_queries -= 1
                self._wake.notify(self._queue.count(Priority.QUERY))
        self._metrics.dropped.labels("caller_gone").inc(gone)
        self._metrics.dropped.labels("deadline").inc(len(late))
        for job in late:
            if not job.future.cancelled():
                job.future.set_exception(DeadlineExceeded("the deadline passed while it waited for the model"))
        for job in batch:
            self._waited.observe(now - job.queued)
        return batch

    def _count_running(self, priority: Priority, change: int) -> None:
        self._running[priority] += change
        if priority is Priority.QUERY:
            self._queries.count_running(change)

    def _leave_out(self, place: Place[P, R], future: Future[R]) -> None:
        """Lets go of a payload whose future was cancelled: others have its room by now (`ahead.py`)."""
        if not future.cancelled():
            return
        with self._wake:
            job = self._queue.leave_out(place)
            self._depth.set(len(self._queue))
        if job is not None:
            late = job.ticket.deadline <= self._clock()
            self._metrics.dropped.labels("deadline" if late else "caller_gone").inc()

    def _may_take(self, queries_only: bool) -> tuple[Priority, ...]:
        """What a thread may do now; queries are left to the free threads that do nothing else."""
        queries, inserts = self._queue.count(Priority.QUERY), self._queue.count(Priority.BULK)
        if queries_only:
            return (Priority.QUERY,) if queries else ()
        many = queries > self._free_for_queries
        return tuple(each for each, some in ((Priority.QUERY, many), (Priority.BULK, inserts)) if some)

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
            if self._queue.limits.pace is not None:  # the CPU threads take one job at a time
                self._metrics.batch_items.labels(*self._labels).observe(len(batch))
                with self._wake:
                    self._queue.ended(batch, self._clock())
            for job, result in zip(batch, results, strict=True):
                job.future.set_result(result)
            self._metrics.stage_seconds.labels(*self._labels).observe(self._clock() - started)

    def _split(self, batch: Sequence[Job[P, R]], error: BaseException) -> None:
        if len(batch) == 1:
            batch[0].future.set_exception(batch[0].context.run(self._fit_for_client, error))
            return
        self._metrics.batch_splits.labels(*self._labels).inc()
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
            # whose frames hold decoded pictures: their room is free before the caller hears of it
            error.__traceback__ = error.__context__ = None
            return error.bare()
        if isinstance(error, MemoryError):
            return TooLarge("does not fit into the memory that is left")
        log.error("%s failed", self.name, exc_info=error)
        return Internal("the service failed on this item; its log has the details")
