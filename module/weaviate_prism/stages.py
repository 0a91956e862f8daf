"""The threads that do the work: some for decoding and preparing, one for each model's device.

Knows the order of work (`scheduler.py`) and nothing of items, targets or scores.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from weaviate_prism.config import Settings
from weaviate_prism.cores import usable_cores
from weaviate_prism.errors import Internal
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Embedder, Prepared, Reranker
from weaviate_prism.scheduler import Stage, Ticket
from weaviate_prism.values import ModelInfo

T = TypeVar("T")
CpuStage: TypeAlias = Stage[Callable[[], Any], Any]
DeviceStage: TypeAlias = Stage[Prepared, npt.NDArray[np.float32]]

# Inputs of one kind of work (queries, bulk, documents) that may be decoded and not yet run. A batch is some 10
# pictures, so a device never waits; a prepared picture of 640x480 takes 7.4 MB, one of 1,800 tokens 43 MB.
PREPARED_AHEAD = 128


class Stages:
    """The CPU threads, and a device thread for each model. `on_death` is told, from a thread, when one dies."""

    def __init__(self, settings: Settings, metrics: Metrics, on_death: Callable[[str], object]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._on_death = on_death
        self._devices: dict[str, DeviceStage] = {}
        self.cpu: CpuStage = Stage(
            "cpu",
            lambda jobs: [job() for job in jobs],
            metrics=metrics,
            threads=max(1, usable_cores() - 1),
            on_death=on_death,
        )

    def add(self, kind: str, model: Embedder | Reranker) -> None:
        """Starts the device thread of a loaded model."""
        self._devices[kind] = Stage(
            kind,
            lambda batch: list(model.forward(batch)),
            metrics=self._metrics,
            batch_cost=self._settings.batch_cost or default_batch_cost(model.info.device),
            on_death=self._on_death,
        )

    async def on_cpu(self, function: Callable[[], T], due: Ticket) -> T:
        """What the function returns, on one of the CPU threads; it logs as the caller does."""
        context = contextvars.copy_context()
        result: T = await asyncio.wrap_future(self.cpu.submit(lambda: context.run(function), due))
        return result

    async def on_device(self, info: ModelInfo, prepared: Prepared, due: Ticket) -> npt.NDArray[np.float32]:
        """The model's finite answer for one prepared input, which shares a batch with others.

        Raises:
            Internal: the answer holds numbers that are not finite, or only zeros.
        """
        stage = self._devices[info.kind]
        result = await asyncio.wrap_future(stage.submit(prepared, due, cost=prepared.cost, group=prepared.group))
        if not np.isfinite(result).all() or (result.ndim and not result.any()):
            raise Internal(f"{info.name} answered with numbers that are not finite, or all zero")
        return result

    def close(self) -> None:
        """Ends the threads; what still waits fails with Unavailable."""
        self.cpu.close()
        for stage in self._devices.values():
            stage.close()
        for stage in self._devices.values():
            stage.join(timeout=5.0)


class Ahead:
    """Bounds how many prepared inputs there are; first come, first served. Used from one event loop.

    Like a semaphore of which several places are taken at once: two who had half of theirs each would wait
    for each other.
    """

    def __init__(self, size: int = PREPARED_AHEAD) -> None:
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, count: int) -> None:
        """Takes so many places, at most all there are; they are given back by `leave`."""
        if not self._waiting and count <= self._free:
            self._free -= count
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn had come
                self.leave(count)
            raise

    def leave(self, count: int) -> None:
        self._free += count
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.cancelled():
                if wanted > self._free:
                    return
                self._free -= wanted
                turn.set_result(None)
            self._waiting.popleft()


def default_batch_cost(device: str) -> int:
    """Tokens plus patches of one batch: large ones pay on a GPU; on a CPU they only make queries wait."""
    return 2048 if device == "cpu" else 16384
