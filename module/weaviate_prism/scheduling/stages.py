"""The threads that do the work: some for decoding and preparing, one for each model's device.

Knows nothing of items, targets or scores.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import operator
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from weaviate_prism.config import Settings
from weaviate_prism.cores import usable_cores
from weaviate_prism.errors import Internal, PrismError
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Embedder, Prepared, Reranker
from weaviate_prism.models.pauses import pausing
from weaviate_prism.room import until
from weaviate_prism.scheduling.backlog import Backlog, Unit
from weaviate_prism.scheduling.batching import Limits, Size
from weaviate_prism.scheduling.jobs import Job, Ticket
from weaviate_prism.scheduling.pace import Pace, Shape
from weaviate_prism.scheduling.queries import Queries
from weaviate_prism.scheduling.stage import Stage
from weaviate_prism.values import ModelInfo, Priority

T = TypeVar("T")
Answer: TypeAlias = npt.NDArray[np.float32]


# Of a core that a forward pass and decoding share, the pass then gets three quarters: it ends with its slowest thread.
DECODING_NICENESS = 5

# An operation ends with its slowest thread. Two of them instead of one on two cores took, beside nothing else and
# beside a program that keeps a core busy: 0.6 to 1.2 and 1.2 to 2.4 times as long for batches of 5 to 50 ms, 0.5 to 0.8
# and 0.9 to 1.6 times for longer ones. So a batch has one whose inputs alone take all cores together less than this,
# and queries leave some to the decoders of inserts.
ONE_THREAD_SECONDS = 0.04


class Stages:
    """The CPU threads, and a device thread for each model. `on_death` is told, from a thread, when one dies."""

    def __init__(self, settings: Settings, metrics: Metrics, on_death: Callable[[str], object]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._on_death = on_death
        self._devices: dict[Embedder | Reranker, Device] = {}
        self._queries: defaultdict[str, Queries] = defaultdict(Queries)  # by device
        threads = max(1, usable_cores() - 1)
        self.backlog = Backlog(threads, time.monotonic, metrics.dropped.labels("too_late").inc)
        self.cpu: Stage[Callable[[], Any], Any] = Stage(
            "cpu",
            lambda jobs: [job() for job in jobs],
            metrics=metrics,
            threads=threads,
            for_queries=1,
            niceness=DECODING_NICENESS,
            on_death=on_death,
        )

    def add(self, model: Embedder | Reranker, label: str) -> None:
        """Starts the device thread of a loaded model, which metrics call by the label."""
        cost = self._settings.batch_cost or default_batch_cost(model.info.device)
        queries = self._queries[model.info.device]
        self._devices[model] = Device(model, label, cost, queries, self._metrics, self._on_death, self._decoding)

    def _decoding(self) -> int:
        return min(self.cpu.threads, self.cpu.running(Priority.BULK) + self.cpu.waiting(Priority.BULK))

    def remove(self, model: Embedder | Reranker) -> None:
        """Ends it; what still waits fails with Unavailable."""
        self._devices.pop(model).stage.close()

    def learn_pace(self, model: Embedder | Reranker) -> None:
        """From all batches that it has run until now."""
        self._devices[model].learn()

    async def on_cpu(self, function: Callable[[], T], ticket: Ticket) -> T:
        """What the function returns, on one of the CPU threads; it logs as the caller does, and nothing in it waits for
        room after the deadline.
        """
        context = copy_context()

        def in_time() -> T:
            with until(ticket.deadline):  # others who wait for the same may have put it off by now
                return function()

        future: Future[T] = self.cpu.submit(lambda: context.run(in_time), ticket)
        await all_done([future])
        return future.result()

    async def on_device_together(
        self,
        model: Embedder | Reranker,
        inputs: Sequence[Prepared | PrismError],
        ticket: Ticket,
        unit: Unit | None = None,
    ) -> list[Answer | PrismError]:
        """The model's finite answer for each, in a batch with others; what could not be prepared stays as it is.

        The unit of the backlog that they are is told how long they will take, and whenever one is done.

        Raises:
            Unavailable: the device thread is gone.
        """
        queued, device = time.monotonic(), self._devices[model]
        prepared = [each for each in inputs if not isinstance(each, PrismError)]
        jobs: list[Job[Prepared, Answer]] = [Job(each, ticket, queued, size_of(each), each.group) for each in prepared]
        if unit is not None:
            unit.prepared(device.seconds(prepared), len(prepared))
            for job in jobs:
                job.future.add_done_callback(unit.done)
        device.stage.submit_together(jobs)
        await all_done([job.future for job in jobs])
        done = iter(jobs)
        return [each if isinstance(each, PrismError) else checked(next(done).future, model.info) for each in inputs]

    def close(self) -> None:
        """Ends the threads; what still waits fails with Unavailable."""
        self.cpu.close()
        for device in self._devices.values():
            device.stage.close()
        for device in self._devices.values():
            device.stage.join(timeout=5.0)


class Device:
    """The thread of a model's forward passes, and how long they take."""

    def __init__(
        self,
        model: Embedder | Reranker,
        label: str,
        cost: int,
        queries: Queries,
        metrics: Metrics,
        on_death: Callable[[str], object],
        decoding: Callable[[], int],
    ) -> None:
        self.pace = Pace()
        self.limits = Limits(cost, self.pace)
        self._fewest_pauses = sys.maxsize
        self.runs: list[tuple[Shape, float]] | None = []  # of the batches before its pace was learnt
        self._model = model
        self._cores = usable_cores()
        self._decoding = decoding  # how many threads do, of inserts
        self._computed, self._padding = (metrics.tokens.labels(label, each) for each in ("input", "padding"))
        self.stage: Stage[Prepared, Answer] = Stage(
            model.info.kind,
            self._run,
            metrics=metrics,
            model=label,
            limits=self.limits,
            queries=queries,
            on_death=on_death,
        )

    def seconds(self, inputs: Sequence[Prepared]) -> float:
        """By which batches take longer with these in them."""
        tokens, patches = sum(each.tokens for each in inputs), sum(each.patches for each in inputs)
        return self.pace.more((len(inputs), tokens, patches))

    def learn(self) -> None:
        """Knows from now on what the batches that it has run tell."""
        self.pace.learn(self.runs or [])
        self.runs = None

    def _run(self, batch: Sequence[Prepared]) -> Sequence[Answer]:
        size = functools.reduce(operator.add, map(size_of, batch))
        answers, seconds = self._forward(batch, self._threads(size))
        self._computed.inc(size.tokens)
        self._padding.inc(size.padding)
        if self.runs is None:
            self.pace.observe(size.shape, seconds)
        else:
            self.runs.append((size.shape, seconds))
        return answers

    def _forward(self, batch: Sequence[Prepared], threads: int) -> tuple[list[Answer], float]:
        """The answers, and the seconds that they took, less those of the queries that overtook the batch."""
        began = time.monotonic()
        pauses, overtaken = 0, self.stage.overtake()  # by those of another model, whatever the device

        def pause() -> None:
            nonlocal pauses, overtaken
            pauses += 1
            overtaken += self.stage.overtake()

        # a GPU has all layers in its queue before the first is computed
        with pausing(pause) if self._model.info.device == "cpu" else contextlib.nullcontext():
            answers = list(self._model.forward(batch, threads))
        self._fewest_pauses = min(self._fewest_pauses, pauses)  # of a model for pictures, with texts only
        self.limits.pieces = max(1, self._fewest_pauses)  # what comes before the first is next to nothing
        return answers, time.monotonic() - began - overtaken

    def _threads(self, size: Size) -> int:
        """For each operation of this batch on the CPU; called by the one thread of the stage, which runs it."""
        if self.runs is None and self.pace.more(size.shape) * self._cores < ONE_THREAD_SECONDS:
            return 1
        if not self.stage.running(Priority.QUERY):
            return self._cores
        # while inserts wait for the device, the next one to be decoded may come at any moment
        decoding = max(self._decoding(), min(1, self.stage.waiting(Priority.BULK)))
        return max(1, self._cores // 2, self._cores - decoding)


def size_of(prepared: Prepared) -> Size:
    """What it adds to a batch."""
    return Size.of(prepared.tokens, prepared.patches, prepared.length)


def checked(future: Future[Answer], info: ModelInfo) -> Answer | PrismError:
    """The finite answer of a job that has ended, or its error."""
    if isinstance(error := future.exception(), PrismError):
        return error
    answer = future.result()
    if not np.isfinite(answer).all() or (answer.ndim and not answer.any()):
        return Internal(f"{info.name} answered with numbers that are not finite, or all zero")
    return answer


def default_batch_cost(device: str) -> int:
    """Tokens plus patches of one batch, for its memory: in float32 8,192 tokens of Qwen3-VL-2B take some 0.8 GB."""
    return 8192 if device == "cpu" else 16384


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
