"""The embedding cache: the same bits again, a byte budget, and one computation for equal requests."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Hashable, Sequence

import numpy as np
import pytest

from weaviate_prism.cache import ENTRY_OVERHEAD, EmbeddingCache
from weaviate_prism.errors import Internal, PrismError
from weaviate_prism.flights import Answers
from weaviate_prism.metrics import Metrics
from weaviate_prism.scheduling.jobs import Ticket
from weaviate_prism.values import Priority, Vector

FAR = Ticket(Priority.BULK, 0.0, 1e9)


def until(deadline: float) -> Ticket:
    return Ticket(Priority.BULK, 0.0, deadline)


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


async def get(
    cache: EmbeddingCache, key: str, compute: Callable[[], Awaitable[Vector | PrismError]], ticket: Ticket
) -> Vector:
    """The vector of a single key; raises its error."""

    async def compute_all(keys: Sequence[Hashable]) -> Answers[Vector]:
        assert list(keys) == [key]
        return {key: await compute()}

    answer = (await cache.get([key], compute_all, ticket))[key]
    if isinstance(answer, PrismError):
        raise answer
    return answer


@pytest.fixture
def cache() -> EmbeddingCache:
    return EmbeddingCache(1 << 20, Metrics())


async def test_the_first_answer_stays_the_answer(cache: EmbeddingCache) -> None:
    first = await get(cache, "key", at_once(1), FAR)
    again = await get(cache, "key", at_once(2), FAR)
    assert again is first


async def test_equal_requests_in_flight_share_one_computation(cache: EmbeddingCache) -> None:
    compute = Computed()
    waiters = [asyncio.ensure_future(get(cache, "key", compute, FAR)) for _ in range(5)]
    await asyncio.sleep(0)
    compute.let_go.set()
    assert {id(vector) for vector in await asyncio.gather(*waiters)} == {id(await waiters[0])}
    assert compute.runs == 1


async def test_a_caller_who_leaves_takes_nobody_along(cache: EmbeddingCache) -> None:
    compute = Computed()
    leaver, stayer = (asyncio.ensure_future(get(cache, "key", compute, FAR)) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    compute.let_go.set()
    assert (await stayer)[0] == 1
    assert leaver.cancelled()


async def test_work_ends_with_its_last_caller_and_a_newcomer_starts_afresh(cache: EmbeddingCache) -> None:
    compute = Computed()
    leaver = asyncio.ensure_future(get(cache, "key", compute, FAR))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    newcomer = asyncio.ensure_future(get(cache, "key", compute, FAR))
    compute.let_go.set()
    assert (await newcomer)[0] == 2
    assert compute.cancelled == 1


async def test_whoever_asks_again_shares_what_still_runs_and_puts_its_deadline_off(cache: EmbeddingCache) -> None:
    compute, tickets = Computed(), [until(deadline) for deadline in (20.0, 50.0, 10.0)]
    callers = [asyncio.ensure_future(get(cache, "key", compute, ticket)) for ticket in tickets]
    await asyncio.sleep(0)
    compute.let_go.set()
    assert len({id(vector) for vector in await asyncio.gather(*callers)}) == 1
    assert compute.runs == 1
    assert [ticket.deadline for ticket in tickets] == [50.0, 50.0, 10.0]


async def test_a_query_does_not_wait_for_the_place_of_an_equal_bulk_item(cache: EmbeddingCache) -> None:
    compute = Computed()
    bulk = asyncio.ensure_future(get(cache, "key", compute, FAR))
    await asyncio.sleep(0)
    later = Ticket(Priority.QUERY, 40.0, 1e9)
    query = asyncio.ensure_future(get(cache, "key", at_once(7), later))
    assert (await query)[0] == 7
    compute.let_go.set()
    assert (await bulk)[0] == 7


async def test_a_kept_vector_does_not_keep_its_batch(cache: EmbeddingCache) -> None:
    batch = np.ones((1000, 4), dtype=np.float32)

    async def compute() -> Vector:
        row: Vector = batch[0]
        return row

    assert (await get(cache, "key", compute, FAR)).base is None


async def raises() -> Vector:
    raise Internal("once")


async def answers() -> PrismError:
    return Internal("once")


@pytest.mark.parametrize("fail", [raises, answers])
async def test_a_failure_is_shared_and_not_kept(
    cache: EmbeddingCache, fail: Callable[[], Awaitable[Vector | PrismError]]
) -> None:
    both = await asyncio.gather(*(get(cache, "key", fail, FAR) for _ in range(2)), return_exceptions=True)
    assert all(isinstance(error, Internal) for error in both)
    assert (await get(cache, "key", at_once(3), FAR))[0] == 3


async def test_the_least_recently_used_go_first_when_the_budget_is_spent() -> None:
    cache = EmbeddingCache(2 * (16 + ENTRY_OVERHEAD), Metrics())
    for key, value in (("a", 1), ("b", 2)):
        await get(cache, key, at_once(value), FAR)
    await get(cache, "a", at_once(9), FAR)
    await get(cache, "c", at_once(3), FAR)
    assert (await get(cache, "a", at_once(9), FAR))[0] == 1
    assert (await get(cache, "b", at_once(9), FAR))[0] == 9


async def test_no_budget_means_no_cache() -> None:
    cache = EmbeddingCache(0, Metrics())
    await get(cache, "a", at_once(1), FAR)
    assert (await get(cache, "a", at_once(2), FAR))[0] == 2


async def test_keys_that_nobody_computes_are_computed_together(cache: EmbeddingCache) -> None:
    asked: list[list[Hashable]] = []
    let_go = asyncio.Event()

    async def compute(keys: Sequence[Hashable]) -> Answers[Vector]:
        asked.append(list(keys))
        await let_go.wait()
        return {key: np.full(4, len(asked), dtype=np.float32) for key in keys}

    known = await get(cache, "a", at_once(9), FAR)
    first = asyncio.ensure_future(cache.get(["a", "b", "c", "b"], compute, FAR))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(cache.get(["c", "d"], compute, FAR))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    let_go.set()
    found, joined = await asyncio.gather(first, second)
    assert asked == [["b", "c"], ["d"]]
    assert list(found) == ["a", "b", "c"]
    assert found["a"] is known
    assert found["c"] is joined["c"]


async def test_work_for_several_keys_goes_on_while_somebody_waits_for_one(cache: EmbeddingCache) -> None:
    let_go = asyncio.Event()

    async def compute(keys: Sequence[Hashable]) -> Answers[Vector]:
        await let_go.wait()
        return {key: np.ones(4, dtype=np.float32) for key in keys}

    leaver = asyncio.ensure_future(cache.get(["a", "b"], compute, FAR))
    await asyncio.sleep(0)
    stayer = asyncio.ensure_future(cache.get(["b"], compute, FAR))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    let_go.set()
    assert list(await stayer) == ["b"]


async def test_each_caller_has_an_error_of_his_own_and_nothing_keeps_what_it_came_from(cache: EmbeddingCache) -> None:
    class Payload:
        pass

    async def fail(keys: Sequence[Hashable]) -> Answers[Vector]:
        payload = Payload()
        seen.append(weakref.ref(payload))
        await asyncio.sleep(0)
        raise Internal("all of it")

    seen: list[weakref.ref[Payload]] = []
    gc.disable()
    try:
        asked = (cache.get(["a"], fail, FAR) for _ in range(2))
        assert len({id(error) for error in await asyncio.gather(*asked, return_exceptions=True)}) == 2
        await asyncio.sleep(0)
        assert [each() for each in seen] == [None]
    finally:
        gc.enable()


async def test_nobody_joins_what_has_failed(cache: EmbeddingCache) -> None:
    later: list[asyncio.Future[Vector]] = []

    async def fail() -> Vector:
        later.append(asyncio.ensure_future(get(cache, "key", at_once(3), FAR)))  # asks before anybody knows of it
        raise Internal("once")

    with pytest.raises(Internal):
        await get(cache, "key", fail, FAR)
    assert (await later[0])[0] == 3


async def test_a_refusal_does_not_wait_for_what_others_compute(cache: EmbeddingCache) -> None:
    slow = Computed()

    async def refuse(keys: Sequence[Hashable]) -> Answers[Vector]:
        raise Internal("refused")

    for number in range(10):  # sets have no order
        other = asyncio.ensure_future(get(cache, f"{number}", slow, FAR))
        await asyncio.sleep(0)
        with pytest.raises(Internal):
            await asyncio.wait_for(cache.get([f"{number}", "new"], refuse, FAR), 1)
        other.cancel()


async def test_an_unexpected_error_is_what_it_is_whatever_else_is_waited_for(cache: EmbeddingCache) -> None:
    slow = Computed()
    other = asyncio.ensure_future(get(cache, "slow", slow, FAR))
    await asyncio.sleep(0)

    async def fail(keys: Sequence[Hashable]) -> Answers[Vector]:
        raise KeyError("the reason")

    with pytest.raises(KeyError, match="the reason"):
        await cache.get(["slow", "new"], fail, FAR)
    other.cancel()
