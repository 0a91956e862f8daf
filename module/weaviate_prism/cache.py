"""Embeddings of content seen before, bounded by bytes, and work in flight shared by equal requests.

Weaviate resends requests whose connection broke and sends the same picture once per named vector.
Sharing also makes vectors repeatable: floating-point sums differ in the last bits with the batch that
an input falls into (up to 2e-7 in fp32), so the same content gets the very bits that it got before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from weaviate_prism.errors import PrismError
from weaviate_prism.jobs import Ticket
from weaviate_prism.lru import LeastRecentlyUsed
from weaviate_prism.metrics import Metrics
from weaviate_prism.values import Vector

# A dict entry, its key of 20 bytes and the array object, measured with tracemalloc: 237 to 281 as the dict grows.
ENTRY_OVERHEAD = 300


Answers: TypeAlias = Mapping[Hashable, Vector | PrismError]
Compute: TypeAlias = Callable[[Sequence[Hashable]], Awaitable[Answers]]


@dataclass(slots=True, eq=False)
class _Flight:
    """Keys that are being computed together."""

    keys: Sequence[Hashable]
    task: asyncio.Task[Answers]
    ticket: Ticket
    waiters: int = 0


class EmbeddingCache:
    """Used from one event loop; not thread-safe."""

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._hits, self._shared, self._misses = map(metrics.cache.labels, ("hit", "shared", "miss"))
        self._vectors: LeastRecentlyUsed[Vector] = LeastRecentlyUsed(max_bytes, metrics.cache_bytes)
        self._flights: dict[Hashable, _Flight] = {}

    async def get(self, keys: Iterable[Hashable], compute: Compute, ticket: Ticket) -> Answers:
        """The vector of each key, or its error: known, being computed for somebody else, or computed now.

        `compute` gets all keys that nobody else computes at once, so that they may share work. A key must
        name everything that changes the vector. Work in flight is shared with those who would not get it
        sooner on their own; it has the time of whoever waits longest, and ends when the last of them is gone.
        """
        found: dict[Hashable, Vector | PrismError] = {}
        flights: dict[Hashable, _Flight] = {}
        missing: list[Hashable] = []
        for key in dict.fromkeys(keys):
            flight = self._flights.get(key)
            if (vector := self._vectors.get(key)) is not None:
                found[key] = vector
            elif flight is not None and flight.ticket.priority <= ticket.priority:
                flight.ticket.deadline = max(flight.ticket.deadline, ticket.deadline)
                flights[key] = flight
            else:
                missing.append(key)
        self._hits.inc(len(found))
        self._shared.inc(len(flights))
        self._misses.inc(len(missing))
        if missing:
            flights |= dict.fromkeys(missing, self._take_off(missing, compute, ticket))
        return found | await self._wait(flights) if flights else found

    def _take_off(self, keys: Sequence[Hashable], compute: Compute, ticket: Ticket) -> _Flight:
        flight = _Flight(keys, asyncio.ensure_future(self._fly(keys, compute)), ticket)
        for key in keys:
            self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._landed(flight))
        return flight

    async def _fly(self, keys: Sequence[Hashable], compute: Compute) -> Answers:
        answers = await compute(keys)
        return {
            key: answer if isinstance(answer, PrismError) else self._keep(key, answer)
            for key, answer in answers.items()
        }

    async def _wait(self, flights: Mapping[Hashable, _Flight]) -> dict[Hashable, Vector | PrismError]:
        joined = set(flights.values())
        for flight in joined:
            flight.waiters += 1
        try:
            for flight in joined:
                await asyncio.shield(flight.task)
            return {key: flight.task.result()[key] for key, flight in flights.items()}
        finally:
            for flight in joined:
                flight.waiters -= 1
                if not flight.waiters and not flight.task.done():
                    self._forget(flight)  # at once: nobody may join a flight that is being called off
                    flight.task.cancel()

    def _forget(self, flight: _Flight) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _landed(self, flight: _Flight) -> None:
        self._forget(flight)
        if not flight.task.cancelled():
            flight.task.exception()  # every waiter may be gone: mark it as seen

    def _keep(self, key: Hashable, vector: Vector) -> Vector:
        """Stores the vector unless an equal request was faster; the first one stays the answer for all."""
        if (faster := self._vectors.get(key)) is not None:
            return faster
        vector = vector.copy()  # a row of its batch would keep the whole batch
        self._vectors.keep(key, vector, vector.nbytes + ENTRY_OVERHEAD)
        return vector
