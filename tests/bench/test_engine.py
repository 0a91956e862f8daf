"""The engine against plain Sentence Transformers: the same weights, threads and content, turn by turn.

A ratio of 1.2 means that the engine takes 1.2 times as long.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image as Pillow
from sentence_transformers import CrossEncoder, SentenceTransformer

from bench.timing import medians
from weaviate_prism.bundled import EMBEDDER_DIR, RERANKER_DIR
from weaviate_prism.bundled.drawing import picture_png
from weaviate_prism.bundled.scenes import PICTURE_KINDS, make_scenes
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import PrismError
from weaviate_prism.values import Image, Item, Priority, Task, Text

ITEMS = 32
ROUNDS = 10
SCENES = make_scenes(ITEMS, seed=30, kinds=PICTURE_KINDS)


class Running:
    """An engine on an event loop of its own, called from outside of it."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._engine = runner.run(self._started())

    def vectorize(self, items: list[Item]) -> None:
        work = self._engine.vectorize(items, task=Task.DOCUMENT, priority=Priority.BULK, deadline=soon())
        (vectors,) = self._runner.run(work)
        self._complete(vectors)

    def rerank(self, query: str, documents: list[Item]) -> None:
        work = self._engine.rerank(Item((Text(query),)), documents, deadline=soon())
        self._complete(self._runner.run(work))

    def close(self) -> None:
        self._engine.close()

    async def _started(self) -> Engine:
        engine = Engine(Settings(cache_bytes=0))
        await engine.start()
        assert engine.ready()
        return engine

    def _complete(self, answers: list[Any]) -> None:
        assert not [answer for answer in answers if isinstance(answer, PrismError)]


def soon() -> float:
    return time.monotonic() + 60


@pytest.fixture(scope="module")
def engine() -> Iterator[Running]:
    with asyncio.Runner() as runner:
        running = Running(runner)
        yield running
        running.close()


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [picture_png(scene) for scene in SCENES]


def decoded(pictures: list[bytes]) -> list[Pillow.Image]:
    return [Pillow.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]


def test_embedding_texts(engine: Running, report: Callable[..., None]) -> None:
    plain = SentenceTransformer(str(EMBEDDER_DIR), device="cpu")
    texts = [scene.caption for scene in SCENES]
    report_ratio(
        report,
        lambda: engine.vectorize([Item((Text(text),)) for text in texts]),
        lambda: plain.encode_document(texts, normalize_embeddings=True, show_progress_bar=False),
    )


def test_embedding_pictures(engine: Running, pictures: list[bytes], report: Callable[..., None]) -> None:
    plain = SentenceTransformer(str(EMBEDDER_DIR), device="cpu")
    report_ratio(
        report,
        lambda: engine.vectorize([Item((Image(picture),)) for picture in pictures]),
        lambda: plain.encode_document(decoded(pictures), normalize_embeddings=True, show_progress_bar=False),
    )


def test_reranking_pictures(engine: Running, pictures: list[bytes], report: Callable[..., None]) -> None:
    plain = CrossEncoder(str(RERANKER_DIR), device="cpu")
    query = "a red circle"
    report_ratio(
        report,
        lambda: engine.rerank(query, [Item((Image(picture),)) for picture in pictures]),
        lambda: plain.predict([(query, picture) for picture in decoded(pictures)], show_progress_bar=False),
    )


def report_ratio(report: Callable[..., None], engine: Callable[[], Any], plain: Callable[[], Any]) -> None:
    times = medians({"engine_s": engine, "plain_s": plain}, ROUNDS)
    report(ratio=times["engine_s"] / times["plain_s"], **times)
