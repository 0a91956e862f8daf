"""Embeddings of content seen before, bounded by bytes; equal inputs in flight are computed once (`flights.py`).

Sharing also makes vectors repeatable: floating-point sums differ in the last bits with the batch that
an input falls into (up to 2e-7 in fp32), so the same content gets the very bits that it got before.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from weaviate_prism.errors import PrismError
from weaviate_prism.flights import Answers, Compute, Flights
from weaviate_prism.lru import LeastRecentlyUsed
from weaviate_prism.metrics import Metrics
from weaviate_prism.scheduling.jobs import Ticket
from weaviate_prism.values import Vector

# A dict entry, its key of 20 bytes and the array object, measured with tracemalloc: 237 to 281 as the dict grows.
ENTRY_OVERHEAD = 300


class EmbeddingCache:
    """Used from one event loop; not thread-safe."""

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._hits, shared, self._misses = map(metrics.cache.labels, ("hit", "shared", "miss"))
        self._vectors: LeastRecentlyUsed[Vector] = LeastRecentlyUsed(max_bytes, metrics.cache_bytes)
        self._flights: Flights[Vector] = Flights(shared.inc)

    async def get(self, keys: Iterable[Hashable], compute: Compute[Vector], ticket: Ticket) -> Answers[Vector]:
        """The vector of each key, or its error: known, or else as `Flights.get`.

        Raises:
            what `compute` does
        """
        wanted = dict.fromkeys(keys)
        found: dict[Hashable, Vector | PrismError] = {
            key: vector for key in wanted if (vector := self._vectors.get(key)) is not None
        }
        self._hits.inc(len(found))

        async def kept(missing: Sequence[Hashable]) -> Answers[Vector]:
            self._misses.inc(len(missing))
            answers = await compute(missing)
            return {
                key: answer if isinstance(answer, PrismError) else self._keep(key, answer)
                for key, answer in answers.items()
            }

        unknown = [key for key in wanted if key not in found]
        return found | await self._flights.get(unknown, kept, ticket) if unknown else found

    def _keep(self, key: Hashable, vector: Vector) -> Vector:
        """Stores the vector unless an equal request was faster; the first one stays the answer for all."""
        if (faster := self._vectors.get(key)) is not None:
            return faster
        vector = vector.copy()  # a row of its batch would keep the whole batch
        self._vectors.keep(key, vector, vector.nbytes + ENTRY_OVERHEAD)
        return vector
