"""The engine under more work than it can do: what is in time is done, what would not be is refused at once."""

from __future__ import annotations

import asyncio
import time

from engines import running
from unit.test_engine import rerank, texts, until, vectorize
from weaviate_prism.errors import DeadlineExceeded
from weaviate_prism.scheduler import Work
from weaviate_prism.values import Priority, Task

ALIKE = [f"{number} item" for number in range(1000)]


async def test_what_would_come_too_late_is_refused_at_once_and_the_others_go_on() -> None:
    async with running(embedder="fake:0,20", reranker="none", cache_bytes=0) as engine:
        await vectorize(engine, texts(*ALIKE[:40]))
        began = time.monotonic()

        async def insert(number: int) -> tuple[bool, float]:
            """Whether it was refused before it was tried, and when it was answered."""
            (answer,) = await vectorize(engine, texts(ALIKE[number]), seconds=3.0)
            refused = isinstance(answer, DeadlineExceeded) and "what goes before it takes about" in answer.message
            return refused, time.monotonic() - began

        answers = await asyncio.gather(*(insert(number) for number in range(600)))
        counted = engine.metrics.registry.get_sample_value("prism_dropped_total", {"reason": "too_late"})
    refused_after = [after for refused, after in answers if refused]
    assert counted == len(refused_after) > 100
    assert max(refused_after) < 2.0
    assert not any(refused for refused, _ in answers[:20])  # who came first is served


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
