"""The engine under more work than it can do: what is in time is done, what would not be is refused at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from engines import running
from unit.test_engine import rerank, texts, until, vectorize
from weaviate_prism.errors import DeadlineExceeded, PrismError
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.scheduling.jobs import Work
from weaviate_prism.values import Priority, Task

ALIKE = [f"{number} item" for number in range(1000)]


async def test_what_would_come_too_late_is_refused_at_once_and_the_others_go_on() -> None:
    async with running(embedder="fake:0,20", reranker="none", cache_bytes=0) as engine:
        for number in range(20):
            await vectorize(engine, texts(*ALIKE[number : number + 2]))
        began = time.monotonic()

        async def insert(number: int) -> tuple[bool, float]:
            """Whether it was refused before it was tried, and when it was answered."""
            (answer,) = await vectorize(engine, texts(ALIKE[number]), seconds=3.0)
            refused = isinstance(answer, DeadlineExceeded) and "work go before it" in answer.message
            return refused, time.monotonic() - began

        answers = await asyncio.gather(*(insert(number) for number in range(600)))
        counted = engine.metrics.registry.get_sample_value("prism_dropped_total", {"reason": "too_late"})
    refused_after = [after for refused, after in answers if refused]
    assert counted == len(refused_after) > 100
    assert max(refused_after) < 2.0
    assert not any(refused for refused, _ in answers[:20])  # who came first is served


async def test_short_documents_are_not_refused_because_others_were_long() -> None:
    async with running(embedder="none", reranker="fake:0,1") as engine:
        (model,) = engine._stages._devices
        prepare = model.prepare

        def slow(asked: Any, contents: Sequence[Content]) -> Prepared:
            time.sleep(len(str(contents[0])) / 100_000)
            return prepare(asked, contents)  # type: ignore[call-arg, arg-type]

        model.prepare = slow  # type: ignore[method-assign, assignment]
        for number in range(10):
            await rerank(engine, "a query", f"{number}" * 20_000)
        scores = await rerank(engine, "a query", *ALIKE[:300])
    assert not [score for score in scores if isinstance(score, PrismError)]


async def test_a_query_is_not_refused_for_inserts_that_it_overtakes() -> None:
    async with running(embedder="fake:0,20", reranker="none", cache_bytes=0) as engine:
        await vectorize(engine, texts(*ALIKE[:40]))
        bulk = asyncio.ensure_future(vectorize(engine, texts(*ALIKE[:500])))
        await until(lambda: engine._stages.backlog.guess(next(iter(engine._stages.backlog._computing))) > 0)
        (vector,) = await vectorize(engine, texts("q"), task=Task.QUERY, priority=Priority.QUERY, seconds=2.0)
        assert not isinstance(vector, DeadlineExceeded)
        bulk.cancel()


async def test_chunks_of_one_search_are_one_piece_of_work() -> None:
    async with running(embedder="none", reranker="fake:0,20") as engine:
        chunks = [asyncio.ensure_future(rerank(engine, "a query", *ALIKE[n : n + 8])) for n in (0, 8, 16)]
        other = asyncio.ensure_future(rerank(engine, "another query", *ALIKE[:8]))
        works = engine._reranking._works
        await until(lambda: len(works) == 2)
        assert all(isinstance(work, Work) for work in works.values())
        await asyncio.gather(*chunks, other)
        del chunks, other
        await until(lambda: not works)


async def test_a_short_search_overtakes_many_long_ones() -> None:
    async with running(embedder="none", reranker="fake:0,1") as engine:
        await rerank(engine, "warm", *ALIKE[:32])
        long = [asyncio.ensure_future(rerank(engine, f"{number} long", *ALIKE[:32])) for number in range(40)]
        await until(lambda: any(search.done() for search in long))
        await rerank(engine, "short", *ALIKE[:2])
        assert sum(search.done() for search in long) < 10
        await asyncio.gather(*long)
