"""Reranking under load: pictures in queries and documents, some of them bad, within the bounds on work and memory."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from engines import running
from media import encoded, noise
from unit.test_engine import rerank, texts
from weaviate_prism import reranking
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput, Overloaded, PrismError, TooLarge
from weaviate_prism.models.base import Prepared
from weaviate_prism.models.fake import Asked, FakeReranker
from weaviate_prism.scheduling import stages
from weaviate_prism.values import Image, Item, Text

SIDE = 100  # of the largest picture allowed
SETTINGS = {"embedder": "none", "max_image_pixels": SIDE * SIDE}


@pytest.fixture
def without_garbage_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def largest() -> bytes:
    return encoded(noise(SIDE, SIDE))


async def ask(engine: Engine, query: Item, *documents: Item | PrismError) -> list[float | PrismError]:
    return await engine.rerank(query, documents, deadline=time.monotonic() + 30)


@pytest.mark.usefixtures("without_garbage_collection")
async def test_bad_documents_leave_their_neighbours_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a good picture, decoded before the bad one is met."""
    monkeypatch.setattr("weaviate_prism.room.PATIENCE_SECONDS", 1.0)
    good = Image(largest(), "good")
    bad = Item((good, Image(good.data[:200], "bad")))
    async with running(**SETTINGS) as engine:
        answers = await ask(engine, Item((Text("q"),)), *[bad] * 20, *[Item((good,))] * 3)
    assert all(isinstance(answer, InvalidInput) and answer.message.startswith("bad: ") for answer in answers[:20])
    assert all(isinstance(answer, float) for answer in answers[20:])


@pytest.mark.usefixtures("without_garbage_collection")
async def test_a_bad_query_keeps_no_room() -> None:
    good = Image(largest(), "good")
    bad = Item((good, Image(good.data[:-200], "bad")))  # its header is whole
    async with running(**SETTINGS) as engine:
        with pytest.raises(InvalidInput, match="query: bad: ") as raised:
            await ask(engine, bad, *texts("d"))
        assert not engine._intake._decoder._budget._held
    assert raised.value


async def test_a_query_of_more_pictures_than_may_be_kept_is_refused_before_they_are_decoded() -> None:
    async with running(**SETTINGS) as engine:
        assert await ask(engine, Item((Image(largest()),) * 4), *texts("d")) == [0.0]
        with pytest.raises(TooLarge, match=r"query: .* 50000 pixels together .* 40000 \(4 times max_image_pixels\)"):
            await ask(engine, Item((Image(largest()),) * 5), *texts("d"))


@pytest.mark.parametrize("cores", [1, 16])
async def test_queries_of_largest_pictures_are_all_answered(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times as many as there is room for, with documents that need room as well."""
    monkeypatch.setattr(stages, "usable_cores", lambda: cores)
    picture = Item((Image(largest()),))
    async with running(**SETTINGS) as engine:
        asked = (ask(engine, picture, picture, *texts("d")) for _ in range(40))
        assert await asyncio.gather(*asked) == [[1.0, 0.0]] * 40


async def test_what_the_device_keeps_of_queries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "SHARED_BYTES", 100)
    monkeypatch.setattr(FakeReranker, "asked", lambda *_: Asked(["d"], nbytes=60))
    forward, batches = FakeReranker.forward, []

    def counted(self: FakeReranker, batch: Sequence[Prepared], threads: int) -> npt.NDArray[np.float32]:
        batches.append(len(batch))
        return forward(self, batch)

    async with running(embedder="none", reranker="fake:20,0") as engine:
        monkeypatch.setattr(FakeReranker, "forward", counted)
        asked = (ask(engine, Item((Text(str(number)),)), *texts("d")) for number in range(4))
        assert await asyncio.gather(*asked) == [[1.0]] * 4
        assert batches == [1] * 4
        monkeypatch.setattr(FakeReranker, "asked", lambda *_: Asked(["d"], nbytes=1000))
        assert await ask(engine, Item((Text("q"),)), *texts("d")) == [1.0]


async def test_the_queue_is_bounded_while_queries_are_decoded() -> None:
    async with running(embedder="none", reranker="fake:20,0", max_queue=100) as engine:
        documents = [str(number) for number in range(50)]
        calls = [rerank(engine, "q", *documents) for _ in range(10)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(answer, Overloaded) for answer in answers] == [False] * 2 + [True] * 8
        assert len(await rerank(engine, "q", *documents, *documents)) == 100  # all places are free again
