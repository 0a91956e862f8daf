"""Short texts taken several at a time: faster, and otherwise as if each had come alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from contract.samples import picture
from engines import running
from weaviate_prism import preparing
from weaviate_prism.engine import Engine
from weaviate_prism.errors import DeadlineExceeded, Internal, InvalidInput, PrismError, TooLarge
from weaviate_prism.models import fake
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.fake import FakeEmbedder, FakeReranker
from weaviate_prism.scheduling.jobs import Job
from weaviate_prism.scheduling.stage import Stage
from weaviate_prism.units import CHARACTERS, MEDIA_TOGETHER, SMALL_MEDIA_BYTES, TOGETHER, units_of, weight_of
from weaviate_prism.values import Fusion, Image, Item, Modality, Priority, Seen, Target, Task, Text, Vector

RED = Item((Image(picture("red")),))


def numbered(*numbers: int) -> list[Item]:
    return [Item((Text(f"item-{number}"),)) for number in numbers]


async def vectorize(
    engine: Engine, items: Sequence[Item | PrismError], *targets: Target, seconds: float = 30.0
) -> list[list[Vector | PrismError]]:
    return await engine.vectorize(
        items,
        task=Task.DOCUMENT,
        targets=targets or (Target(),),
        priority=Priority.BULK,
        deadline=time.monotonic() + seconds,
    )


def bits(results: Sequence[Vector | PrismError]) -> list[bytes]:
    assert all(isinstance(result, np.ndarray) for result in results), results
    return [result.tobytes() for result in results if isinstance(result, np.ndarray)]


def missed(engine: Engine) -> float:
    return engine.metrics.registry.get_sample_value("prism_cache_total", {"outcome": "miss"}) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition that work in other threads brings about; fails after 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - other threads change it
            await asyncio.sleep(0.001)


def sizes(items: Sequence[Item | PrismError], inputs_each: int = 1) -> list[list[int]]:
    """The positions of the items in each unit."""
    return units_of((position, weight_of(item, inputs_each)) for position, item in enumerate(items))


def test_neighbours_that_are_small_are_units_and_others_stay_alone() -> None:
    long = Item((Text("x" * CHARACTERS * TOGETHER),))
    large = Item((Image(picture("red") + bytes(SMALL_MEDIA_BYTES)),))
    items: list[Item | PrismError] = [*numbered(0, 1), InvalidInput("unread"), large, long, *numbered(5, 6), large]
    assert sizes(items) == [[0, 1, 2], [3], [4], [5, 6], [7]]


def test_a_unit_has_no_more_inputs_than_are_prepared_by_one_job() -> None:
    assert [len(unit) for unit in sizes(numbered(*range(2 * TOGETHER + 1)))] == [TOGETHER, TOGETHER, 1]
    assert [len(unit) for unit in sizes(numbered(*range(4)), TOGETHER // 2)] == [2, 2]
    assert [len(unit) for unit in sizes(numbered(0, 1), 10 * TOGETHER)] == [1, 1]
    longer = [Item((Text("x" * CHARACTERS),))] * TOGETHER
    assert [len(unit) for unit in sizes(longer)] == [TOGETHER // 2] * 2


def test_pictures_that_need_no_decoding_are_no_more_than_texts() -> None:
    seen = Seen(None, Modality.IMAGE)
    assert weight_of(Item((seen,))) == weight_of(numbered(0)[0]) < weight_of(RED)
    assert weight_of(Item((Text("x" * CHARACTERS), seen))) == 2


def test_a_unit_has_few_small_pictures_whatever_is_between_them() -> None:
    assert [len(unit) for unit in sizes([RED] * (MEDIA_TOGETHER + 1))] == [MEDIA_TOGETHER, 1]
    assert sizes([RED, *numbered(1), *[RED] * MEDIA_TOGETHER]) == [[0, 1, 2, 3], [4, 5]]


async def test_what_no_target_reads_is_not_computed() -> None:
    async with running(cache_bytes=0) as engine:
        before = missed(engine)
        ((vector,),) = await vectorize(engine, numbered(0, 1, 2), Target(items=(1,)))
        bits([vector])
        assert missed(engine) == before + 1


async def test_together_texts_get_the_vectors_that_they_get_alone() -> None:
    items = [*numbered(*range(40)), RED, *numbered(*range(40, 100))]
    targets = [Target(), Target(items=(3, 40, 99)), Target(instruction="find", items=(0, 50)), Target(dimensions=8)]
    async with running(cache_bytes=0) as engine:
        together = await vectorize(engine, items, *targets)
        for target, results in zip(targets, together, strict=True):
            read = [items[position] for position in target.items] or items
            one_by_one = Target(dimensions=target.dimensions, instruction=target.instruction)
            alone = [(await vectorize(engine, [item], one_by_one))[0][0] for item in read]
            assert bits(results) == bits(alone)


async def test_a_bad_text_fails_alone_among_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    original = FakeEmbedder.prepare

    def prepare(model: FakeEmbedder, contents: Sequence[Content], task: Task, instruction: str) -> Prepared:
        if contents == ["refused"]:
            raise InvalidInput("cannot be read")
        if contents == ["too much"]:
            raise MemoryError
        return original(model, contents, task, instruction)

    monkeypatch.setattr(FakeEmbedder, "prepare", prepare)
    words = ["a", "refused", "b", "too much", "c", fake.FAIL, "d", fake.NAN, "e"]
    items = [Item((Text(word),)) for word in words]
    async with running() as engine:
        for target in (Target(), Target(fusion=Fusion.MEAN)):
            ((*results,),) = await vectorize(engine, [*items, InvalidInput("unread"), Item(())], target)
            kinds = [type(result) for result in results]
            fine = np.ndarray
            assert kinds == [fine, InvalidInput, fine, TooLarge, fine, Internal, fine, Internal, fine,
                             InvalidInput, InvalidInput]  # fmt: skip


async def test_a_request_that_overlaps_one_in_flight_computes_only_the_rest() -> None:
    async with running(embedder="fake:20,1") as engine:
        before = missed(engine)
        first = asyncio.ensure_future(vectorize(engine, numbered(*range(20))))
        await until(lambda: missed(engine) == before + 20)
        second = asyncio.ensure_future(vectorize(engine, numbered(*range(10, 30))))
        ((*ours,),), ((*theirs,),) = await asyncio.gather(first, second)
        assert missed(engine) == before + 30
    assert bits(ours)[10:] == bits(theirs)[:10]


async def test_who_leaves_takes_no_texts_along_that_others_wait_for() -> None:
    async with running(embedder="fake:20,1") as engine:
        before = missed(engine)
        leaver = asyncio.ensure_future(vectorize(engine, numbered(*range(20))))
        await until(lambda: missed(engine) == before + 20)
        stayer = asyncio.ensure_future(vectorize(engine, numbered(*range(10, 30))))
        await until(lambda: missed(engine) == before + 30)
        leaver.cancel()
        assert len(bits((await stayer)[0])) == 20


async def test_a_deadline_ends_the_texts_that_are_not_done() -> None:
    async with running(embedder="fake:0,20", batch_cost=2 * TOGETHER) as engine:
        started = time.monotonic()
        ((*results,),) = await vectorize(engine, numbered(*range(20 * TOGETHER)), seconds=1.0)
        assert time.monotonic() - started < 3.0
    assert isinstance(results[0], np.ndarray)
    assert isinstance(results[-1], DeadlineExceeded)
    assert len(results) == 20 * TOGETHER


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The stage and the number of jobs of each submission."""
    found: list[tuple[str, int]] = []
    original = Stage.submit_together

    def submit_together(stage: Stage[Any, Any], jobs: Sequence[Job[Any, Any]]) -> None:
        found.append((stage.name, len(jobs)))
        original(stage, jobs)

    monkeypatch.setattr(Stage, "submit_together", submit_together)
    return found


async def test_the_jobs_of_a_unit_are_submitted_at_once(submitted: list[tuple[str, int]]) -> None:
    async with running() as engine:
        submitted.clear()  # those of the warm-up
        bits((await vectorize(engine, numbered(*range(TOGETHER))))[0])
    assert submitted == [("cpu", 1), ("embedder", TOGETHER)]


async def test_a_unit_that_takes_long_gives_way_after_each_input(
    submitted: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "JOB_SECONDS", -1.0)
    async with running() as engine:
        submitted.clear()
        bits((await vectorize(engine, numbered(0, 1, 2)))[0])
        assert submitted == [("cpu", 1)] * 3 + [("embedder", 3)]
        submitted.clear()
        first, second = Target(instruction="a"), Target(instruction="b")
        for vectors in await vectorize(engine, [RED], first, second):
            bits(vectors)
        assert submitted == [("cpu", 1), ("embedder", 2)]  # a picture that both read is not decoded again


async def test_documents_are_units_unless_each_has_its_own_copy_of_the_query(
    submitted: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeReranker, "patched", lambda model, content: content)  # as Sentence Transformers' way
    async with running() as engine:
        for query, jobs in ((Item((Text("red"),)), [3]), (RED, [1, 1, 1])):
            submitted.clear()
            scores = await engine.rerank(query, numbered(0, 1, 2), deadline=time.monotonic() + 30)
            assert all(isinstance(score, float) for score in scores)
            assert [count for stage, count in submitted if stage == "reranker"] == jobs
