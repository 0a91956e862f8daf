"""What the engine adds to the model for one text query: all that is neither preparing nor computing it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from engines import running
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.values import Item, Priority, Task, Text

WARM_UP, QUERIES = 50, 500


async def test_overhead(report: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    spent: dict[str, list[float]] = {"prepare": [], "forward": []}

    def timed(name: str) -> None:
        original = getattr(SentenceEmbedder, name)

        def call(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(*args)
            finally:
                spent[name].append(time.perf_counter() - began)

        monkeypatch.setattr(SentenceEmbedder, name, call)

    async with running(embedder="scenes-embedder", reranker="none", cache_bytes=0) as engine:

        async def query(number: int) -> float:
            began = time.perf_counter()
            await engine.vectorize(
                [Item((Text(f"a red star, number {number}"),))],
                task=Task.QUERY,
                priority=Priority.QUERY,
                deadline=time.monotonic() + 60,
            )
            return time.perf_counter() - began

        for number in range(WARM_UP):
            await query(number)
        timed("prepare")
        timed("forward")
        totals, loop = [], []
        for number in range(WARM_UP, WARM_UP + QUERIES):
            await asyncio.sleep(0)
            began = time.thread_time()
            totals.append(await query(number))
            loop.append(time.thread_time() - began)
    model = [sum(both) for both in zip(*spent.values(), strict=True)]
    added = [total - of_model for total, of_model in zip(totals, model, strict=True)]
    cuts = statistics.quantiles(added, n=100)
    report(
        what="a text query: the engine's answer, the model alone, and what is added",
        model="scenes-embedder",
        cache="new",
        wanted={"added_p50_ms": 2},
        answer_p50_ms=statistics.median(totals) * 1000,
        model_p50_ms=statistics.median(model) * 1000,
        added_p10_ms=cuts[9] * 1000,
        added_p50_ms=cuts[49] * 1000,
        added_p99_ms=cuts[98] * 1000,
        cpu_of_event_loop_p50_ms=statistics.median(loop) * 1000,
    )
