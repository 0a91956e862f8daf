"""Embeddings of content seen before, bounded by bytes, and work in flight shared by equal requests.

Weaviate resends requests whose connection broke and sends the same picture once per named vector.
Sharing also makes vectors repeatable: floating-point sums differ in the last bits with the batch that
an input falls into (up to 2e-7 in fp32), so the same content gets the very bits that it got before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from weaviate_prism.metrics import Metrics
from weaviate_prism.scheduler import Ticket
from weaviate_prism.values import Vector

# A dict entry, its key of two digests and the array object, measured with sys.getsizeof.
ENTRY_OVERHEAD = 500


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Vector]
    ticket: Ticket
    waiters: int = 0


class EmbeddingCache:
    """Used from one event loop; not thread-safe."""

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._bytes = 0
        self._vectors: OrderedDict[Hashable, Vector] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[Vector]], ticket: Ticket) -> Vector:
        """The vector of `key`: known, being computed for somebody else, or computed now.

        `key` must name everything that changes the vector. Work in flight is shared with those who would
        not get it sooner on their own, and whose deadline is no later; it ends when the last of them is gone.
        """
        if (vector := self._vectors.get(key)) is not None:
            self._vectors.move_to_end(key)
            self._metrics.cache.labels("hit").inc()
            return vector
        flight = self._flights.get(key)
        if flight is not None and _serves(flight.ticket, ticket):
            self._metrics.cache.labels("shared").inc()
        else:
            self._metrics.cache.labels("miss").inc()
            flight = _Flight(asyncio.ensure_future(self._fly(key, compute)), ticket)
            self._flights[key] = flight
            flight.task.add_done_callback(lambda _: self._landed(key, flight))
        return await self._wait(key, flight)

    async def _fly(self, key: Hashable, compute: Callable[[], Awaitable[Vector]]) -> Vector:
        return self._keep(key, await compute())

    async def _wait(self, key: Hashable, flight: _Flight) -> Vector:
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._forget(key, flight)  # at once: nobody may join a flight that is being called off
                flight.task.cancel()

    def _forget(self, key: Hashable, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _landed(self, key: Hashable, flight: _Flight) -> None:
        self._forget(key, flight)
        if not flight.task.cancelled():
            flight.task.exception()  # every waiter may be gone: mark it as seen

    def _keep(self, key: Hashable, vector: Vector) -> Vector:
        """Stores the vector unless an equal request was faster; the first one stays the answer for all."""
        size = vector.nbytes + ENTRY_OVERHEAD
        if size > self._max_bytes or key in self._vectors:
            return self._vectors.get(key, vector)
        self._vectors[key] = vector = vector.copy()  # a row of its batch would keep the whole batch
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, evicted = self._vectors.popitem(last=False)
            self._bytes -= evicted.nbytes + ENTRY_OVERHEAD
        self._metrics.cache_bytes.set(self._bytes)
        return vector


def _serves(flying: Ticket, wanted: Ticket) -> bool:
    """Whether work under one ticket is as good as under the other, give or take a second."""
    return wanted.deadline <= flying.deadline + 1.0 and flying.due <= wanted.due + 1.0
