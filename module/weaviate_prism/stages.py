"""The threads that do the work: some for decoding and preparing, one for each model's device.

`scheduler.py` decides what they do next. Knows nothing of items, targets or scores.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from weaviate_prism.config import Settings
from weaviate_prism.cores import usable_cores
from weaviate_prism.errors import DeadlineExceeded, Internal, PrismError, TooLarge, Unavailable
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Embedder, Prepared, Reranker
from weaviate_prism.scheduler import DeviceLost, Job, JobQueue, Ticket
from weaviate_prism.values import ModelInfo

log = logging.getLogger(__name__)

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")
Answer: TypeAlias = npt.NDArray[np.float32]


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
        self._queue: JobQueue[P, R] = JobQueue(batch_cost)
        self._wake = threading.Condition()
        self._closed = ""  # why no more jobs are taken
        named = ("-".join(filter(None, ("prism", name, model, str(number)))) for number in range(threads))
        self._threads = [threading.Thread(target=self._work, name=each, daemon=True) for each in named]
        for thread in self._threads:
            thread.start()

    def submit(self, payload: P, ticket: Ticket, *, cost: int = 1, group: Hashable = None) -> Future[R]:
        """As `submit_together`, for one payload; cancelling the future before it runs drops it."""
        job: Job[P, R] = Job(payload, ticket, cost, group, self._clock())
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
                self._queue.put(job)
            self._depth.set(len(self._queue))
            self._wake.notify(len(jobs))

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
                self._depth.set(len(self._queue))
                gone = before - len(self._queue) - len(batch) - len(late)
            self._metrics.dropped.labels("caller_gone").inc(gone)
            self._metrics.dropped.labels("deadline").inc(len(late))
            for job in late:
                job.future.set_exception(DeadlineExceeded("the deadline passed while it waited for the model"))
            if batch:
                for job in batch:
                    self._waited.observe(now - job.queued)
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
            self._metrics.stage_seconds.labels(*self._labels).observe(self._clock() - started)
            if self._queue.batch_cost > 1:  # the CPU threads take one job at a time
                self._metrics.batch_items.labels(*self._labels).observe(len(batch))

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


class Stages:
    """The CPU threads, and a device thread for each model. `on_death` is told, from a thread, when one dies."""

    def __init__(self, settings: Settings, metrics: Metrics, on_death: Callable[[str], object]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._on_death = on_death
        self._devices: dict[Embedder | Reranker, Stage[Prepared, Answer]] = {}
        self.cpu: Stage[Callable[[], Any], Any] = Stage(
            "cpu",
            lambda jobs: [job() for job in jobs],
            metrics=metrics,
            threads=max(1, usable_cores() - 1),
            on_death=on_death,
        )

    def add(self, model: Embedder | Reranker, label: str) -> None:
        """Starts the device thread of a loaded model, which metrics call by the label."""
        self._devices[model] = Stage(
            model.info.kind,
            lambda batch: list(model.forward(batch)),
            metrics=self._metrics,
            model=label,
            batch_cost=self._settings.batch_cost or default_batch_cost(model.info.device),
            on_death=self._on_death,
        )

    def remove(self, model: Embedder | Reranker) -> None:
        """Ends it; what still waits fails with Unavailable."""
        self._devices.pop(model).close()

    async def on_cpu(self, function: Callable[[], T], ticket: Ticket) -> T:
        """What the function returns, on one of the CPU threads; it logs as the caller does."""
        context = copy_context()
        future: Future[T] = self.cpu.submit(lambda: context.run(function), ticket)
        await all_done([future])
        return future.result()

    async def on_device_together(
        self, model: Embedder | Reranker, inputs: Sequence[Prepared | PrismError], ticket: Ticket
    ) -> list[Answer | PrismError]:
        """The model's finite answer for each, in a batch with others; what could not be prepared stays as it is.

        Raises:
            Unavailable: the device thread is gone.
        """
        queued = time.monotonic()
        prepared = (each for each in inputs if not isinstance(each, PrismError))
        jobs: list[Job[Prepared, Answer]] = [Job(each, ticket, each.cost, each.group, queued) for each in prepared]
        self._devices[model].submit_together(jobs)
        await all_done([job.future for job in jobs])
        done = iter(jobs)
        return [each if isinstance(each, PrismError) else checked(next(done).future, model.info) for each in inputs]

    def close(self) -> None:
        """Ends the threads; what still waits fails with Unavailable."""
        self.cpu.close()
        for stage in self._devices.values():
            stage.close()
        for stage in self._devices.values():
            stage.join(timeout=5.0)


async def all_done(futures: Sequence[Future[Any]]) -> None:
    """Waits until all have ended somehow, and wakes the event loop once; when cancelled, so are those that wait."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    left = itertools.count(len(futures) - 1, -1)  # its `next` is atomic

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    def count(_: Future[Any]) -> None:
        if next(left) == 0:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(wake)

    for future in futures:
        future.add_done_callback(count)
    try:
        if futures:
            await ended
    except asyncio.CancelledError:
        for future in futures:
            future.cancel()
        raise


def checked(future: Future[Answer], info: ModelInfo) -> Answer | PrismError:
    """The finite answer of a job that has ended, or its error."""
    if isinstance(error := future.exception(), PrismError):
        return error
    answer = future.result()
    if not np.isfinite(answer).all() or (answer.ndim and not answer.any()):
        return Internal(f"{info.name} answered with numbers that are not finite, or all zero")
    return answer


def default_batch_cost(device: str) -> int:
    """Tokens plus patches of one batch: large ones pay on a GPU; on a CPU they only make queries wait."""
    return 2048 if device == "cpu" else 16384
