"""Several targets in one call, on the fake model: each gets its own, and what they share is done once."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from contract.samples import picture
from engines import running
from weaviate_prism.engine import Engine
from weaviate_prism.errors import Internal, InvalidInput, NotFound, PrismError, TooLarge
from weaviate_prism.intake import Intake
from weaviate_prism.models import fake
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.fake import FakeEmbedder
from weaviate_prism.scheduling.ahead import BULK_BYTES, PREPARED_AHEAD
from weaviate_prism.values import Fusion, Image, Item, Part, Priority, Target, Task, Text, Vector, Video

RED, BLUE = Image(picture("red"), "still"), Image(picture("blue"), "cover")
TITLE = Text("a red square", "title")
DAMAGED = Image(picture("red")[:40], "broken")
MEAN = Target(fusion=Fusion.MEAN)


async def vectorize(engine: Engine, items: Sequence[Item], *targets: Target) -> list[list[Vector | PrismError]]:
    return await engine.vectorize(
        items, task=Task.DOCUMENT, targets=targets, priority=Priority.BULK, deadline=time.monotonic() + 30
    )


async def vector(engine: Engine, *parts: Part, target: Target = Target()) -> Vector:  # noqa: B008 - frozen
    ((result,),) = await vectorize(engine, [Item(parts)], target)
    assert isinstance(result, np.ndarray), result
    return result


def sample(engine: Engine, name: str, **labels: str) -> float | None:
    return engine.metrics.registry.get_sample_value(name, labels)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition that work in other threads brings about; fails after 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - other threads change it
            await asyncio.sleep(0.001)


def mean(*vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    total = np.sum(np.stack(vectors).astype(np.float64), axis=0)
    return np.asarray(total / np.linalg.norm(total))


class Decodes:
    """Which contents were decoded, how often, and how many of them were alive at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times: dict[bytes, int] = {}
        self.alive = self.most = 0
        original = Intake.decode_part

        def decode_part(intake: Intake, part: Text | Image | Video, video_frames: int, wanted: Any) -> Content:
            content = original(intake, part, video_frames, wanted)
            if isinstance(part, Image):
                self.times[part.data] = self.times.get(part.data, 0) + 1
                self.alive += 1
                self.most = max(self.most, self.alive)
                weakref.finalize(content, self._gone)
            return content

        monkeypatch.setattr(Intake, "decode_part", decode_part)

    def _gone(self) -> None:
        self.alive -= 1


async def test_a_picture_is_decoded_once_for_all_targets_that_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    decodes = Decodes(monkeypatch)
    targets = [
        Target(),
        Target(instruction="Find shapes."),
        Target(fields=("still",), instruction="Find colours."),
        MEAN,
        Target(fusion=Fusion.MEAN, fields=("title", "still"), weights=(2.0, 1.0), dimensions=8),
    ]
    async with running() as engine:
        results = await vectorize(engine, [Item((TITLE, RED))], *targets)
        alone = [await vectorize(engine, [Item((TITLE, RED))], target) for target in targets]
    assert decodes.times == {RED.data: 1}
    for (together,), ((single,),) in zip(results, alone, strict=True):
        assert isinstance(together, np.ndarray)
        assert isinstance(single, np.ndarray)
        assert together.tobytes() == single.tobytes()


async def test_what_is_decoded_is_dropped_as_soon_as_nothing_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weaviate_prism.scheduling.stages.usable_cores", lambda: 2)  # one CPU thread
    decodes = Decodes(monkeypatch)
    pictures = [Image(picture("red", size=size), str(size)) for size in range(8, 20)]
    async with running() as engine:
        targets = [MEAN, Target(fusion=Fusion.MEAN, instruction="Find shapes.")]
        results = await vectorize(engine, [Item((*pictures, DAMAGED)) for _ in range(3)], *targets)
        assert all(isinstance(result, InvalidInput) for of_target in results for result in of_target)
        assert set(decodes.times.values()) == {1}
    assert decodes.most == 1
    assert decodes.alive == 0


async def test_equal_work_is_done_once_whatever_its_name_and_dimensions() -> None:
    async with running() as engine:
        targets = [Target(), Target(dimensions=8), Target(fields=("title",)), Target(fusion=Fusion.MEAN)]
        await vectorize(engine, [Item((TITLE,))], *targets)
        missed = sample(engine, "prism_cache_total", outcome="miss")
    assert missed == 1


async def test_a_mean_takes_each_part_from_the_cache() -> None:
    async with running() as engine:
        title, still = await vector(engine, TITLE), await vector(engine, RED)
        missed = sample(engine, "prism_cache_total", outcome="miss")
        both = await vector(engine, TITLE, RED, target=MEAN)
        assert sample(engine, "prism_cache_total", outcome="miss") == missed
    np.testing.assert_allclose(both, mean(title, still), atol=1e-6)


async def test_a_field_of_several_texts_weighs_as_much_as_any_other() -> None:
    tags = [Text(word, "tags") for word in ("red", "round", "red")]
    async with running() as engine:
        red, round_, title = [await vector(engine, part) for part in (tags[0], tags[1], TITLE)]
        ours = await vector(engine, *tags, TITLE, target=MEAN)
    np.testing.assert_allclose(ours, mean(2 * red / 3 + round_ / 3, title), atol=1e-6)


async def test_a_part_without_weight_is_not_even_read() -> None:
    target = Target(fusion=Fusion.MEAN, fields=("title", "broken"), weights=(1.0, 0.0))
    async with running() as engine:
        ours = await vector(engine, TITLE, DAMAGED, target=target)
        assert ours.tobytes() == (await vector(engine, TITLE)).tobytes()
        ((error,),) = await vectorize(engine, [Item((DAMAGED,))], target)
    assert isinstance(error, InvalidInput)
    assert "weigh 0: broken" in error.message


async def test_each_target_reads_its_items_in_their_order() -> None:
    items = [Item((Text(word),)) for word in "abcd"]
    async with running() as engine:
        alone = [await vector(engine, *item.parts) for item in items]
        some, nothing_else, everything = await vectorize(
            engine, items, Target(items=(1, 3)), Target(items=(0,)), Target()
        )
    for results, positions in ((some, (1, 3)), (nothing_else, (0,)), (everything, range(4))):
        expected = [alone[position].tobytes() for position in positions]
        assert [result.tobytes() for result in results if isinstance(result, np.ndarray)] == expected


async def test_a_bad_part_fails_the_targets_that_read_it_by_its_name() -> None:
    targets = [Target(), MEAN, Target(fields=("broken",)), Target(fields=("title",)), Target(fields=("other",))]
    async with running() as engine:
        results = await vectorize(engine, [Item((TITLE, DAMAGED)), Item((TITLE,))], *targets)
        joint, averaged, single, title, other = (of_target[0] for of_target in results)
        ((unnamed,),) = await vectorize(engine, [Item((Text("a"), Image(DAMAGED.data)))], MEAN)
    for error in (joint, averaged, single):
        assert isinstance(error, InvalidInput)
        assert error.message.startswith("broken: the PNG")
    assert isinstance(unnamed, InvalidInput)
    assert unnamed.message.startswith("parts[1]: the PNG")
    assert isinstance(title, np.ndarray)
    assert isinstance(other, InvalidInput)
    assert [type(of_target[1]) for of_target in results] == [
        np.ndarray,
        np.ndarray,
        InvalidInput,
        np.ndarray,
        InvalidInput,
    ]


async def test_a_part_on_which_the_model_fails_is_named() -> None:
    async with running() as engine:
        item = Item((TITLE, Text(fake.FAIL, "body")))
        ((averaged,), (title,)) = await vectorize(engine, [item], MEAN, Target(fields=("title",)))
    assert isinstance(averaged, Internal)
    assert averaged.message.startswith("body: ")
    assert isinstance(title, np.ndarray)


async def test_a_bug_in_preparing_one_input_leaves_the_others_of_the_item_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = FakeEmbedder.prepare

    def prepare(model: FakeEmbedder, contents: Sequence[Content], task: Task, instruction: str) -> Prepared:
        if instruction == "no memory":
            raise MemoryError
        return original(model, contents, task, instruction)

    monkeypatch.setattr(FakeEmbedder, "prepare", prepare)
    async with running() as engine:
        ((bad,), (good,)) = await vectorize(engine, [Item((TITLE,))], Target(instruction="no memory"), Target())
    assert isinstance(bad, TooLarge)
    assert isinstance(good, np.ndarray)


async def test_parts_that_cancel_out_are_an_error_of_their_item(monkeypatch: pytest.MonkeyPatch) -> None:
    original = fake._vector
    monkeypatch.setattr(
        fake,
        "_vector",
        lambda prepared: -original(fake_of("red")) if prepared.features["words"] == ["anti"] else original(prepared),
    )
    async with running() as engine:
        items = [Item((Text("red"), Text("anti", "against"))), Item((Text("red"), Text("blue")))]
        ((error, fine),) = await vectorize(engine, items, MEAN)
    assert isinstance(error, InvalidInput)
    assert "opposite directions" in error.message
    assert isinstance(fine, np.ndarray)


def fake_of(word: str) -> Prepared:
    return Prepared({"words": [word]}, 1)


@pytest.mark.parametrize(
    ("bad", "kind", "named"),
    [
        (Target(model="other"), NotFound, r"targets\[1\]: model 'other'"),
        (Target(dimensions=33), InvalidInput, r"targets\[1\]: dimensions"),
        (Target(items=(2,)), InvalidInput, r"targets\[1\]: items"),
        (Target(fields=("a",), weights=(1.0,)), InvalidInput, r"targets\[1\]: weights"),
        (Target(instruction="x" * 3000), TooLarge, r"targets\[1\]: instruction"),
    ],
)
async def test_a_target_that_cannot_be_honoured_fails_the_call_by_its_number(
    bad: Target, kind: type[PrismError], named: str
) -> None:
    async with running() as engine:
        with pytest.raises(kind, match=named):
            await vectorize(engine, [Item((TITLE,))], Target(), bad)


async def test_what_a_call_costs_is_counted_before_it_begins() -> None:
    many = Item(tuple(Text(str(number)) for number in range(100)))
    async with running(max_items=10, max_queue=20) as engine:
        with pytest.raises(TooLarge, match=r"12 items .*max_items"):
            await vectorize(engine, [Item((TITLE,))] * 6, Target(), Target())
        with pytest.raises(TooLarge, match=r"12 items .*max_items"):  # rows, whatever they hold
            await vectorize(engine, [Item((TITLE,))] * 6, Target(), Target(items=(1,)))
        assert len((await vectorize(engine, [Item((TITLE,))] * 5, Target(), Target(items=(1, 2, 3, 4))))[1]) == 4
        with pytest.raises(TooLarge, match=r"100 items .*max_queue"):
            await vectorize(engine, [many], MEAN)
        assert isinstance(await vector(engine, *many.parts), np.ndarray)  # one message


async def test_an_item_of_very_many_parts_is_averaged_in_bounded_steps() -> None:
    parts = [Text(str(number)) for number in range(300)]
    async with running() as engine:
        ours = await vector(engine, *parts, target=MEAN)
        single = [await vector(engine, part) for part in parts]
    np.testing.assert_allclose(ours, mean(*single), atol=1e-6)


async def test_an_abandoned_call_gives_its_places_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(embedder="fake:5,5", batch_cost=8) as engine:
        items = [Item((Text(f"{number}"), RED if number % 10 == 0 else Text("x"))) for number in range(300)]
        for _ in range(3):
            call = asyncio.ensure_future(vectorize(engine, items, MEAN, Target(instruction="Find shapes.")))
            await until(lambda: (sample(engine, "prism_queue_depth", stage="embedder", model="fake") or 0) > 20)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        ahead = engine._vectorizing._ahead[Priority.BULK]
        async with asyncio.timeout(10):
            await vector(engine, Text("next"))
            await until(lambda: ahead._inputs._free == PREPARED_AHEAD)
        assert ahead._bytes._free == BULK_BYTES
        assert not ahead._inputs._waiting
