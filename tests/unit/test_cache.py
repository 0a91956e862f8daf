"""The embedding cache: the same bits again, a byte budget, and one computation for equal requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from weaviate_prism.cache import ENTRY_OVERHEAD, EmbeddingCache
from weaviate_prism.errors import Internal
from weaviate_prism.metrics import Metrics
from weaviate_prism.scheduler import Ticket
from weaviate_prism.values import Priority, Vector

FAR = Ticket(Priority.BULK, 0.0, 1e9)


class Computed:
    """Counts its runs; each gives another vector, and waits until it is let go."""

    def __init__(self) -> None:
        self.runs = 0
        self.cancelled = 0
        self.let_go = asyncio.Event()

    async def __call__(self) -> Vector:
        self.runs += 1
        number = self.runs
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return np.full(4, number, dtype=np.float32)


def at_once(value: float) -> Callable[[], Awaitable[Vector]]:
    async def compute() -> Vector:
        return np.full(4, value, dtype=np.float32)

    return compute


@pytest.fixture
def cache() -> EmbeddingCache:
    return EmbeddingCache(1 << 20, Metrics())


async def test_the_first_answer_stays_the_answer(cache: EmbeddingCache) -> None:
    first = await cache.get("key", at_once(1), FAR)
    again = await cache.get("key", at_once(2), FAR)
    assert again is first


async def test_equal_requests_in_flight_share_one_computation(cache: EmbeddingCache) -> None:
    compute = Computed()
    waiters = [asyncio.ensure_future(cache.get("key", compute, FAR)) for _ in range(5)]
    await asyncio.sleep(0)
    compute.let_go.set()
    assert {id(vector) for vector in await asyncio.gather(*waiters)} == {id(await waiters[0])}
    assert compute.runs == 1


async def test_a_caller_who_leaves_takes_nobody_along(cache: EmbeddingCache) -> None:
    compute = Computed()
    leaver, stayer = (asyncio.ensure_future(cache.get("key", compute, FAR)) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    compute.let_go.set()
    assert (await stayer)[0] == 1
    assert leaver.cancelled()


async def test_work_ends_with_its_last_caller_and_a_newcomer_starts_afresh(cache: EmbeddingCache) -> None:
    compute = Computed()
    leaver = asyncio.ensure_future(cache.get("key", compute, FAR))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    newcomer = asyncio.ensure_future(cache.get("key", compute, FAR))
    compute.let_go.set()
    assert (await newcomer)[0] == 2
    assert compute.cancelled == 1


async def test_a_later_deadline_does_not_depend_on_a_shorter_one(cache: EmbeddingCache) -> None:
    compute = Computed()
    hasty = asyncio.ensure_future(cache.get("key", compute, Ticket(Priority.BULK, 0.0, 10.0)))
    patient = asyncio.ensure_future(cache.get("key", compute, Ticket(Priority.BULK, 0.0, 50.0)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    compute.let_go.set()
    assert (await patient).tobytes() == (await hasty).tobytes()  # whoever is first, both get the same bits
    assert compute.runs == 2


async def test_a_query_does_not_wait_for_the_place_of_an_equal_bulk_item(cache: EmbeddingCache) -> None:
    compute = Computed()
    bulk = asyncio.ensure_future(cache.get("key", compute, FAR))
    await asyncio.sleep(0)
    query = asyncio.ensure_future(cache.get("key", at_once(7), Ticket(Priority.QUERY, 0.0, 1e9)))
    assert (await query)[0] == 7
    compute.let_go.set()
    assert (await bulk)[0] == 7


async def test_a_kept_vector_does_not_keep_its_batch(cache: EmbeddingCache) -> None:
    batch = np.ones((1000, 4), dtype=np.float32)

    async def compute() -> Vector:
        row: Vector = batch[0]
        return row

    assert (await cache.get("key", compute, FAR)).base is None


async def test_a_failure_is_shared_and_not_kept(cache: EmbeddingCache) -> None:
    async def fail() -> Vector:
        raise Internal("once")

    with pytest.raises(Internal):
        await cache.get("key", fail, FAR)
    assert (await cache.get("key", at_once(3), FAR))[0] == 3


async def test_the_least_recently_used_go_first_when_the_budget_is_spent() -> None:
    cache = EmbeddingCache(2 * (16 + ENTRY_OVERHEAD), Metrics())
    for key, value in (("a", 1), ("b", 2)):
        await cache.get(key, at_once(value), FAR)
    await cache.get("a", at_once(9), FAR)
    await cache.get("c", at_once(3), FAR)
    assert (await cache.get("a", at_once(9), FAR))[0] == 1
    assert (await cache.get("b", at_once(9), FAR))[0] == 9


async def test_no_budget_means_no_cache() -> None:
    cache = EmbeddingCache(0, Metrics())
    await cache.get("a", at_once(1), FAR)
    assert (await cache.get("a", at_once(2), FAR))[0] == 2
