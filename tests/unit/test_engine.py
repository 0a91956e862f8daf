"""The engine on the fake model: n in = n out, errors in their place, limits, caches, priorities, life."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import numpy as np
import pytest

from engines import running
from weaviate_prism import video
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import (
    DeadlineExceeded,
    Internal,
    InvalidInput,
    NotFound,
    Overloaded,
    PrismError,
    TooLarge,
    Unavailable,
    Unsupported,
)
from weaviate_prism.models import fake
from weaviate_prism.values import LOWEST_SCORE, Image, Item, Modality, Priority, Target, Task, Text, Vector


def texts(*words: str) -> list[Item | PrismError]:
    return [Item((Text(word),)) for word in words]


async def vectorize(
    engine: Engine,
    items: list[Item | PrismError],
    *,
    task: Task = Task.DOCUMENT,
    target: Target | None = None,
    priority: Priority = Priority.BULK,
    seconds: float = 30.0,
) -> list[Vector | PrismError]:
    (results,) = await engine.vectorize(
        items, task=task, targets=[target or Target()], priority=priority, deadline=time.monotonic() + seconds
    )
    return results


async def rerank(engine: Engine, query: str, *documents: str) -> list[float | PrismError]:
    return await engine.rerank(Item((Text(query),)), texts(*documents), deadline=time.monotonic() + 30)


def only_vectors(answers: list[Vector | PrismError]) -> list[Vector]:
    assert all(isinstance(answer, np.ndarray) for answer in answers)
    return [answer for answer in answers if isinstance(answer, np.ndarray)]


async def test_every_item_gets_a_unit_vector_in_its_place() -> None:
    async with running() as engine:
        together = only_vectors(await vectorize(engine, texts("red", "", "blue")))
        alone = [only_vectors(await vectorize(engine, texts(word)))[0] for word in ("red", "", "blue")]
    for vector, expected in zip(together, alone, strict=True):
        assert vector.dtype == np.float32
        assert vector.shape == (fake.DIMENSIONS,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert vector.tobytes() == expected.tobytes()


async def test_one_bad_item_fails_alone_whatever_is_wrong_with_it() -> None:
    items = [*texts("fine"), Item(()), InvalidInput("the door says so"), Item((Image(b"no picture"),)),
             *texts(fake.FAIL, fake.NAN, "fine too")]  # fmt: skip
    async with running() as engine:
        answers = await vectorize(engine, items)
    kinds = [type(answer) for answer in answers]
    assert kinds == [np.ndarray, InvalidInput, InvalidInput, InvalidInput, Internal, Internal, np.ndarray]


async def test_dimensions_are_cut_before_normalising() -> None:
    async with running() as engine:
        (whole,) = only_vectors(await vectorize(engine, texts("red")))
        (cut,) = only_vectors(await vectorize(engine, texts("red"), target=Target(dimensions=8)))
        with pytest.raises(InvalidInput, match="dimensions: 33 are more than the 32"):
            await vectorize(engine, texts("red"), target=Target(dimensions=33))
    np.testing.assert_allclose(cut, whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6)


async def test_a_target_reads_its_fields_only() -> None:
    item = Item((Text("red", field="title"), Text("blue", field="body")))
    async with running() as engine:
        (title,) = await vectorize(engine, [item], target=Target(fields=("title",)))
        (red,) = await vectorize(engine, texts("red"))
        (nothing,) = await vectorize(engine, [item], target=Target(fields=("picture",)))
    assert isinstance(title, np.ndarray)
    assert isinstance(red, np.ndarray)
    assert title.tobytes() == red.tobytes()
    assert isinstance(nothing, InvalidInput)
    assert "fields" in nothing.message


async def test_a_text_over_the_limit_is_refused_by_name() -> None:
    async with running(max_text_bytes=10) as engine:
        (error, fine) = await vectorize(engine, texts("ä" * 6, "a" * 10))
    assert isinstance(error, TooLarge)
    assert "12 bytes" in error.message
    assert "max_text_bytes" in error.message
    assert isinstance(fine, np.ndarray)


async def test_requests_that_cannot_be_served_at_all_are_raised() -> None:
    async with running(embedder="fake:200,0", reranker="none", max_items=3, max_queue=2) as engine:
        with pytest.raises(NotFound, match="'fake'"):
            await vectorize(engine, texts("red"), target=Target(model="other"))
        with pytest.raises(TooLarge, match="max_items"):
            await vectorize(engine, texts(*"abcd"))
        with pytest.raises(TooLarge, match="max_queue"):
            await vectorize(engine, texts(*"abc"))
        waiting = asyncio.ensure_future(vectorize(engine, texts(*"ab")))
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded, match="max_queue"):
            await vectorize(engine, texts("c"))
        only_vectors(await waiting)
        with pytest.raises(Unsupported, match="no reranker"):
            await rerank(engine, "red", "red")


async def test_the_same_content_gets_the_same_bits_and_is_computed_once() -> None:
    async with running() as engine:
        answers = only_vectors(await vectorize(engine, texts(*["red"] * 20)))
        again = only_vectors(await vectorize(engine, texts("red", "blue")))
        missed = engine.metrics.registry.get_sample_value("prism_cache_total", {"outcome": "miss"})
    assert len({vector.tobytes() for vector in answers} | {again[0].tobytes()}) == 1
    assert missed == 2


async def test_cache_keys_tell_task_and_instruction_apart() -> None:
    async with running() as engine:
        await vectorize(engine, texts("red"), task=Task.DOCUMENT)
        await vectorize(engine, texts("red"), task=Task.QUERY)
        await vectorize(engine, texts("red"), task=Task.QUERY, target=Target(instruction="find"))
        missed = engine.metrics.registry.get_sample_value("prism_cache_total", {"outcome": "miss"})
    assert missed == 3


async def test_parts_are_counted_once_however_many_targets_read_them() -> None:
    items: list[Item | PrismError] = [Item((Text("red", "title"), Text("blue", "body"))), InvalidInput("unreadable")]
    async with running() as engine:
        registry = engine.metrics.registry
        before = registry.get_sample_value("prism_items_total", {"work": "embedder", "modality": "text"}) or 0
        await engine.vectorize(
            items,
            task=Task.DOCUMENT,
            targets=[Target(), Target(fields=("title",)), Target(dimensions=4)],
            priority=Priority.BULK,
            deadline=time.monotonic() + 30,
        )
        after = registry.get_sample_value("prism_items_total", {"work": "embedder", "modality": "text"}) or 0
    assert after - before == 2


async def test_only_devices_have_batch_sizes() -> None:
    async with running() as engine:
        await vectorize(engine, texts("red"))
        registry = engine.metrics.registry
        assert registry.get_sample_value("prism_batch_items_count", {"stage": "embedder", "model": "fake"})
        assert registry.get_sample_value("prism_batch_items_count", {"stage": "cpu", "model": ""}) is None


@pytest.mark.parametrize(
    ("name", "modalities", "expected"),
    [("real", {"text", "video"}, 1), ("real", {"text", "image"}, 0), ("fake", {"text", "video"}, 0)],
)
async def test_torchcodec_is_imported_before_the_first_clip_where_a_real_model_reads_video(
    name: str, modalities: set[str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported: list[bool] = []
    monkeypatch.setattr(video, "import_torchcodec", lambda: imported.append(True))
    embedder = fake.FakeEmbedder(fake.FakeCost())
    embedder.info = replace(embedder.info, name=name, modalities=frozenset(Modality(each) for each in modalities))
    monkeypatch.setattr("weaviate_prism.catalog.load_model", lambda spec, settings: embedder)
    async with running(reranker="none") as engine:
        assert engine.ready()
    assert len(imported) == expected


async def test_a_service_without_torchcodec_says_at_start_that_clips_will_be_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> NoReturn:
        raise Unsupported("clips need torchcodec")

    monkeypatch.setattr(video, "import_torchcodec", missing)
    monkeypatch.setattr("weaviate_prism.catalog.is_fake", lambda name: False)
    async with running() as engine:
        assert engine.ready()
        assert engine.info().clips_refused == "clips need torchcodec"
    assert "clips will be refused: clips need torchcodec" in caplog.text


async def test_scores_come_back_in_request_order() -> None:
    async with running() as engine:
        scores = await rerank(engine, "red circle", "red circle", "", "a red square", "blue")
    assert scores == [1.0, 0.0, 0.5, 0.0]


async def test_a_bad_document_keeps_its_place_or_is_ranked_last() -> None:
    bad = Item((Image(b"no picture"),))
    for policy, expected in (("fail", InvalidInput), ("last", float)):
        async with running(embedder="none", rerank_bad_document=policy) as engine:
            answers = await engine.rerank(Item((Text("red"),)), [*texts("red"), bad], deadline=time.monotonic() + 30)
            last = engine.metrics.registry.get_sample_value("prism_documents_ranked_last_total")
        assert answers[0] == 1.0
        assert isinstance(answers[1], expected)
        assert last == (policy == "last")
    assert answers[1] == LOWEST_SCORE


async def test_a_fault_of_ours_is_never_ranked_last() -> None:
    async with running(embedder="none", rerank_bad_document="last") as engine:
        answers = await rerank(engine, "red", fake.FAIL)
    assert isinstance(answers[0], Internal)


async def test_a_bad_query_fails_the_request_by_name() -> None:
    async with running() as engine:
        with pytest.raises(InvalidInput, match=r"^query: "):
            await engine.rerank(Item((Image(b"no picture"),)), texts("red"), deadline=time.monotonic() + 30)


async def test_what_cannot_be_done_in_time_is_refused_in_time() -> None:
    async with running(embedder="fake:300,0", reranker="none") as engine:
        started = time.monotonic()
        (error,) = await vectorize(engine, texts("slow"), seconds=0.05)
        assert isinstance(error, DeadlineExceeded)
        assert time.monotonic() - started < 0.3


async def test_an_empty_query_is_refused_and_an_empty_document_is_not() -> None:
    async with running() as engine:
        with pytest.raises(InvalidInput, match="query: is empty"):
            await rerank(engine, "", "red")
        assert await rerank(engine, "red", "") == [0.0]


async def test_an_instruction_has_a_limit() -> None:
    async with running() as engine:
        with pytest.raises(TooLarge, match="instruction"):
            await vectorize(engine, texts("red"), target=Target(instruction="x" * 3000))


async def test_the_event_loop_stays_responsive_beside_a_huge_request() -> None:
    async with running() as engine:
        work = asyncio.ensure_future(vectorize(engine, texts(*(f"item-{i}" for i in range(10_000)))))
        turns = 0
        while not work.done():
            await asyncio.sleep(0)
            turns += 1
        only_vectors(await work)
    assert turns > 10_000 / 64


async def test_a_dead_cpu_thread_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as engine:
        monkeypatch.setattr(engine._stages.cpu, "_process", None)  # the thread meets a bug of its own
        with pytest.raises(DeadlineExceeded):
            await engine.run_in_pool(str, 1, deadline=time.monotonic() + 0.5)
        assert "cpu thread died" in await engine.failed()
        assert not engine.ready()


async def test_a_query_overtakes_a_bulk_import() -> None:
    async with running(embedder="fake:20,5", reranker="none", batch_cost=4) as engine:
        bulk = asyncio.ensure_future(vectorize(engine, texts(*(f"item-{i}" for i in range(60)))))
        await until(lambda: depth(engine) > 20)
        await vectorize(engine, texts("query"), task=Task.QUERY, priority=Priority.QUERY)
        assert not bulk.done()
        assert depth(engine) > 5
        only_vectors(await bulk)


async def test_abandoned_work_is_not_done() -> None:
    async with running(embedder="fake:10,10", reranker="none", batch_cost=4) as engine:
        bulk = asyncio.ensure_future(vectorize(engine, texts(*(f"item-{i}" for i in range(500)))))
        await until(lambda: depth(engine) > 20)
        bulk.cancel()
        started = time.monotonic()
        only_vectors(await vectorize(engine, texts("next")))
        assert time.monotonic() - started < 1.0  # 500 items would take 6 s


async def test_readiness_follows_the_models() -> None:
    engine = Engine(Settings(embedder="fake", reranker="fake"))
    assert not engine.ready()
    with pytest.raises(Unavailable, match="loading"):
        await vectorize(engine, texts("red"))
    await engine.start()
    assert engine.ready()
    engine.drain()
    assert not engine.ready()
    assert isinstance((await vectorize(engine, texts("red")))[0], np.ndarray)  # what is in flight ends well
    engine.close()


async def test_a_model_that_cannot_be_loaded_is_a_failure_with_its_reason() -> None:
    engine = Engine(Settings(embedder="fake:nonsense", reranker="none"))
    await engine.start()
    assert not engine.ready()
    assert "fake:nonsense" in await engine.failed()
    engine.close()


def depth(engine: Engine) -> float:
    return engine.metrics.registry.get_sample_value("prism_queue_depth", {"stage": "embedder", "model": "fake"}) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition that work in other threads brings about; fails after 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - other threads change it
            await asyncio.sleep(0.001)
