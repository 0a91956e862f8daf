"""CPU time of the first request of each kind in a fresh service, against that of later ones: what is still cold."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from objects import CLIP_SIZE
from weaviate_prism.bundled.drawing import clip_mp4, picture_jpeg
from weaviate_prism.bundled.scenes import make_scenes
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.values import Image, Item, Part, Priority, Task, Text, Video

REQUESTS = 10
# The bundled pair, or directories of others.
EMBEDDER = os.environ.get("BENCH_EMBEDDER", "scenes-embedder")
RERANKER = os.environ.get("BENCH_RERANKER", "scenes-reranker")


def requests(engine: Engine) -> dict[str, Callable[[int], Awaitable[Any]]]:
    """One of each kind, by its number; all contents differ."""
    pictures = [picture_jpeg(scene) for scene in make_scenes(2 * REQUESTS, seed=50, kinds=("group",))]
    clips = [clip_mp4(scene, CLIP_SIZE) for scene in make_scenes(2 * REQUESTS, seed=51, kinds=("clip",))]

    async def embed(part: Part, task: Task = Task.DOCUMENT) -> object:
        options: Any = {"task": task, "priority": Priority.BULK, "deadline": time.monotonic() + 60}
        return await engine.vectorize([Item((part,))], **options)

    async def rerank(number: int, part: Part) -> object:
        query = Item((Text(f"query {number}"),))
        return await engine.rerank(query, [Item((part,))] * 3, deadline=time.monotonic() + 60)

    return {
        "query": lambda number: embed(Text(f"query {number}"), Task.QUERY),
        "text": lambda number: embed(Text(f"text {number}")),
        "picture": lambda number: embed(Image(pictures[number])),
        "clip": lambda number: embed(Video(clips[number])),
        "rerank": lambda number: rerank(number, Text("a red circle")),
        "rerank_picture": lambda number: rerank(number, Image(pictures[REQUESTS + number])),
        "rerank_clip": lambda number: rerank(number, Video(clips[REQUESTS + number])),
    }


@pytest.mark.asyncio
async def test_first_requests(report: Callable[..., None]) -> None:
    engine = Engine(Settings(embedder=EMBEDDER, reranker=RERANKER))
    await engine.start()
    assert engine.ready()
    for kind, ask in requests(engine).items():
        took = []
        for number in range(REQUESTS):
            before = time.process_time()
            await ask(number)
            took.append((time.process_time() - before) * 1000)
        first, *later = took
        report(**{f"{kind}_first_cpu_ms": first, f"{kind}_later_cpu_ms": statistics.median(later)})
    engine.close()
