"""Documents to be reranked that are equal are scored once: in a search, and in equal searches in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from engines import running
from media import encoded, noise
from unit.test_engine import rerank, texts
from weaviate_prism.engine import Engine
from weaviate_prism.errors import DeadlineExceeded, InvalidInput, PrismError
from weaviate_prism.models.base import Prepared
from weaviate_prism.models.fake import FakeReranker
from weaviate_prism.values import Image, Item, Text

SLOW = {"embedder": "none", "reranker": "fake:100,0"}


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of all inputs that a model has been given, without those of its own samples."""
    forward, seen = FakeReranker.forward, list[str]()

    def noted(self: FakeReranker, batch: Sequence[Prepared], threads: int = 0) -> npt.NDArray[np.float32]:
        seen.extend(" ".join(each.features["words"]) for each in batch)
        return forward(self, batch, threads)

    monkeypatch.setattr(FakeReranker, "forward", noted)
    return seen


async def ask(
    engine: Engine, *documents: Item | PrismError, query: str = "red", instruction: str = "", seconds: float = 30.0
) -> list[float | PrismError]:
    deadline = time.monotonic() + seconds
    return await engine.rerank(Item((Text(query),)), documents, instruction=instruction, deadline=deadline)


def shared(engine: Engine) -> float | None:
    return engine.metrics.registry.get_sample_value("prism_shared_documents_total")


async def test_equal_documents_of_a_search_are_scored_once_and_all_have_the_score(scored: list[str]) -> None:
    async with running() as engine:
        scored.clear()
        assert await rerank(engine, "red", "red", "blue", "red", "blue", "red") == [1.0, 0.0, 1.0, 0.0, 1.0]
        assert sorted(scored) == ["blue", "red"]
        assert shared(engine) == 3


async def test_equal_pictures_are_told_by_their_bytes(scored: list[str]) -> None:
    one, other = encoded(noise(8, 8)), encoded(noise(8, 9))
    async with running() as engine:
        for vision_cache in (True, False):
            engine._intake.seen.serves = lambda _, serves=vision_cache: serves  # type: ignore[method-assign,misc]
            scored.clear()
            await ask(engine, *(Item((Image(bytes(bytearray(data))),)) for data in (one, other, one)))
            assert len(scored) == len(set(scored)) == 2


async def test_equal_searches_in_flight_share_what_they_have_in_common(scored: list[str]) -> None:
    async with running(**SLOW) as engine:
        scored.clear()
        first = asyncio.ensure_future(rerank(engine, "red", "red", "blue"))
        await asyncio.sleep(0.05)
        assert await rerank(engine, "red", "green", "red") == [0.0, 1.0]
        assert await first == [1.0, 0.0]
        assert sorted(scored) == ["blue", "green", "red"]
        assert await rerank(engine, "red", "red") == [1.0]  # nothing is kept for later
        assert scored.count("red") == 2


async def test_what_is_asked_otherwise_is_not_shared(scored: list[str]) -> None:
    async with running(**SLOW) as engine:
        scored.clear()
        document = Item((Text("red"),))
        asked = [
            ask(engine, document),
            ask(engine, document, query="blue"),
            ask(engine, document, instruction="Judge."),
            ask(engine, Item((Text("red"), Text("red")))),
            ask(engine, Item((Text("red", "title"),))),
        ]
        assert await asyncio.gather(*asked) == [[1.0], [0.0], [1.0], [1.0], [1.0]]
        assert len(scored) == 5


async def test_errors_of_equal_documents_are_each_their_own() -> None:
    refused = InvalidInput("the door says so")
    bad = Item((Image(b"no picture"),))
    async with running() as engine:
        answers = await ask(engine, refused, bad, Item((Text("red"),)), bad, replace(bad, unreadable=(("", refused),)))
    assert [type(answer) for answer in answers] == [InvalidInput, InvalidInput, float, InvalidInput, InvalidInput]
    assert [place for place, answer in enumerate(answers) if str(answer) == "the door says so"] == [0, 4]


async def test_who_asked_first_may_leave_or_be_too_late(scored: list[str]) -> None:
    async with running(**SLOW) as engine:
        scored.clear()
        leaver = asyncio.ensure_future(rerank(engine, "red", "red"))
        late = asyncio.ensure_future(ask(engine, *texts("red"), seconds=0.06))
        await asyncio.sleep(0.03)
        stayer = asyncio.ensure_future(rerank(engine, "red", "red"))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(DeadlineExceeded):
            await late
        assert await stayer == [1.0]
        assert scored == ["red"]


async def test_a_wrong_query_is_wrong_for_all_who_ask_it() -> None:
    picture = Item((Image(b"no picture"),))
    async with running() as engine:
        asked = (engine.rerank(picture, texts("red"), deadline=time.monotonic() + 30) for _ in range(3))
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, InvalidInput) and answer.message.startswith("query: ") for answer in answers)
