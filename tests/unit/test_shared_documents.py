"""Documents to be reranked that are equal are scored once: in a search, and in equal searches in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engines import running
from media import encoded, noise
from unit.test_engine import rerank, texts
from weaviate_prism import reranking, room
from weaviate_prism.engine import Engine
from weaviate_prism.errors import DeadlineExceeded, InvalidInput, PrismError
from weaviate_prism.models.base import Prepared
from weaviate_prism.models.fake import FakeReranker
from weaviate_prism.scheduling.jobs import ticket
from weaviate_prism.values import Image, Item, Priority, Text

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


@pytest.mark.parametrize("vision_cache_bytes", [0, 1 << 20])
async def test_equal_pictures_are_told_by_their_digests(scored: list[str], vision_cache_bytes: int) -> None:
    one, other = encoded(noise(8, 8)), encoded(noise(8, 9))
    async with running(**SLOW, vision_cache_bytes=vision_cache_bytes) as engine:
        scored.clear()
        documents = [Item((Image(bytes(bytearray(data))),)) for data in (one, other, one)]
        first = asyncio.ensure_future(ask(engine, *documents))
        await asyncio.sleep(0.05)  # by now the vision tower knows them
        await ask(engine, *documents)
        await first
        assert len(scored) == len(set(scored)) == 2
        # not by all of their bytes, on the event loop
        digests = {id(part): ("image", "same") for each in documents for part in each.parts}
        request: Any = SimpleNamespace(ticket=ticket(Priority.QUERY, 1e9), digests=digests)
        assert len({reranking.key_of(each, request) for each in documents}) == 1


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
        document, picture = Item((Text("red"),)), encoded(noise(8, 8))
        asked = [
            ask(engine, document),
            ask(engine, document, query="blue"),
            ask(engine, document, instruction="Judge."),
            ask(engine, Item((Text("red"), Text("red")))),
            ask(engine, Item((Text("red", "title"),))),
            ask(engine, *(Item((Image(picture, field),)) for field in ("still", "poster"))),
        ]
        assert await asyncio.gather(*asked) == [[1.0], [0.0], [1.0], [1.0], [1.0], [0.0, 0.0]]
        assert len(scored) == 7


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
        late = asyncio.ensure_future(ask(engine, *texts("red"), seconds=0.06))
        await asyncio.sleep(0.02)
        leaver, stayer = (asyncio.ensure_future(rerank(engine, "red", "red")) for _ in range(2))
        await asyncio.sleep(0.01)
        leaver.cancel()
        assert [type(answer) for answer in await late] == [DeadlineExceeded]
        assert await stayer == [1.0]
        assert scored == ["red"]


async def test_what_is_computed_for_another_search_is_left_once() -> None:
    async with running(embedder="none", reranker="fake:0,50") as engine:
        for _ in range(10):
            await rerank(engine, "red", "a")
        documents = [str(number) for number in range(8)]
        searches = [asyncio.ensure_future(rerank(engine, "red", *documents)) for _ in range(3)]
        await asyncio.sleep(0.1)
        (work,) = set(engine._reranking._works.values())
        assert 0.1 < work.seconds < 0.6
        await asyncio.gather(*searches)


async def test_what_is_in_flight_is_no_reason_to_refuse_who_asks_for_it_again() -> None:
    async with running(embedder="none", reranker="fake:0,20") as engine:
        documents = [str(number) for number in range(50)]
        for _ in range(3):
            await rerank(engine, "red", *documents)
        first = asyncio.ensure_future(rerank(engine, "red", *documents))
        await asyncio.sleep(0.2)
        again = await ask(engine, *texts(*documents), seconds=1.2)
        assert again == await first == [0.0] * 50


async def test_who_shares_a_few_documents_does_not_wait_for_all_others() -> None:
    async with running(embedder="none", reranker="fake:0,20") as engine:
        many = asyncio.ensure_future(rerank(engine, "red", *map(str, range(200))))
        await asyncio.sleep(0.3)
        few = asyncio.ensure_future(rerank(engine, "red", "0", "red"))
        await asyncio.sleep(0.05)
        many.cancel()
        began = time.monotonic()
        assert await few == [0.0, 1.0]
        assert time.monotonic() - began < 2  # all would take 4


async def test_what_is_done_by_the_deadline_is_answered() -> None:
    async with running(embedder="none", reranker="fake:0,10") as engine:
        answers = await ask(engine, *texts(*map(str, range(200))), seconds=0.8)
        assert {type(answer) for answer in answers} == {float, DeadlineExceeded}


async def test_a_search_that_would_come_too_late_is_refused_before_its_query_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = Item((Image(encoded(noise(8, 8))),))
    async with running(embedder="none", reranker="fake:0,20") as engine:
        await engine.rerank(picture, texts("a", "b"), deadline=time.monotonic() + 30)
        waiting = asyncio.ensure_future(engine.rerank(picture, texts(*map(str, range(200))), deadline=1e9))
        await asyncio.sleep(0.2)
        monkeypatch.setattr(FakeReranker, "asked", lambda *_: pytest.fail("it was decoded"))
        other = Item((Image(encoded(noise(8, 9))),))
        with pytest.raises(DeadlineExceeded, match="refused, as it would come too late"):
            await engine.rerank(other, texts(*map(str, range(400))), deadline=time.monotonic() + 0.5)
        waiting.cancel()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_query_that_cannot_be_read_shares_nothing_with_one_that_can(order: tuple[int, ...]) -> None:
    whole = Item((Text("red"),))
    queries = [whole, replace(whole, unreadable=(("still", InvalidInput("still: is gone")),))]
    async with running(**SLOW) as engine:
        asked = (engine.rerank(queries[one], texts("red"), deadline=time.monotonic() + 30) for one in order)
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[order.index(0)] == [1.0]
    assert isinstance(answers[order.index(1)], InvalidInput)


async def test_room_is_waited_for_as_long_as_the_last_who_asks_has_time() -> None:
    """The job begins after the deadline of whoever asked first."""
    seen = []

    def read() -> None:
        seen.append(room._deadline.get())

    async with running() as engine:
        turn = ticket(Priority.QUERY, time.monotonic() + 0.1)
        turn.deadline += 30
        await engine._stages.on_cpu(read, turn)
    assert seen == [turn.deadline]


async def test_a_wrong_query_is_wrong_for_all_who_ask_it() -> None:
    picture = Item((Image(b"no picture"),))
    async with running() as engine:
        asked = (engine.rerank(picture, texts("red"), deadline=time.monotonic() + 30) for _ in range(3))
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, InvalidInput) and answer.message.startswith("query: ") for answer in answers)
