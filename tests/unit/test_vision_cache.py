"""The vision cache: what a tower has seen is neither decoded nor looked at again, within a budget of bytes."""

from __future__ import annotations

import time

import pytest

from contract.samples import picture
from engines import running
from unit.test_targets import Decodes, sample
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Content, Patches
from weaviate_prism.models.fake import FakeCost, FakeReranker
from weaviate_prism.values import Image, Item, Modality, Priority, Task, Text
from weaviate_prism.vision_cache import ENTRY_OVERHEAD, VisionCache

FRAMES = 8
DIGEST, OTHER = (Modality.IMAGE, "one"), (Modality.VIDEO, "one")
PICTURES = [Image(picture(colour)) for colour in ("red", "green", "blue")]


class Reader:
    """Makes patches of so many bytes, and counts how often."""

    def __init__(self, nbytes: int = 0) -> None:
        self.times = 0
        self._nbytes = nbytes

    def __call__(self) -> Content:
        self.times += 1
        return Patches(Modality.IMAGE, None, (1, 2, 2), nbytes=self._nbytes)


def model(eyes: str = "one") -> FakeReranker:
    fake = FakeReranker(FakeCost())
    fake.eyes = eyes
    return fake


def served(max_bytes: int = 1 << 20) -> VisionCache:
    cache = VisionCache(max_bytes, Metrics())
    for eyes in ("one", "another"):
        cache.serve(model(eyes))
    return cache


def test_what_a_tower_has_seen_is_found_again_by_that_tower_alone() -> None:
    cache, read = served(), Reader()
    first = cache.content(model(), DIGEST, FRAMES, read)
    assert cache.content(model(), DIGEST, FRAMES, read) is first
    assert cache.content(model(), OTHER, FRAMES, read) is not first
    assert cache.content(model("another"), DIGEST, FRAMES, read) is not first
    assert read.times == 3


def test_a_clip_is_found_again_only_where_as_many_frames_are_wanted() -> None:
    cache, read = served(), Reader()
    for digest, shared in ((OTHER, False), (DIGEST, True)):
        first = cache.content(model(), digest, 8, read)
        assert cache.has(model(), digest, 4) is shared
        assert (cache.content(model(), digest, 4, read) is first) is shared
    assert read.times == 3


def test_the_least_recently_seen_is_dropped_over_the_budget() -> None:
    cache, read = served(3 * (1000 + ENTRY_OVERHEAD)), Reader(1000)
    for digest in "abcad":
        cache.content(model(), (Modality.IMAGE, digest), FRAMES, read)
    assert [cache.modality(model(), digest, FRAMES) for digest in "abcd"] == ["image", None, "image", "image"]
    cache.content(model(), (Modality.IMAGE, "larger than all"), FRAMES, Reader(6000))
    assert [cache.modality(model(), digest, FRAMES) for digest in "acd"] == ["image"] * 3


def test_errors_are_not_kept() -> None:
    cache = served()

    def fail() -> Content:
        raise InvalidInput("not a picture")

    for _ in range(2):
        with pytest.raises(InvalidInput):
            cache.content(model(), DIGEST, FRAMES, fail)
    assert not cache.has(model(), DIGEST, FRAMES)


@pytest.mark.parametrize(("max_bytes", "eyes"), [(0, "one"), (1000, "another"), (1000, "")])
def test_only_towers_of_rerankers_are_served(max_bytes: int, eyes: str) -> None:
    cache = VisionCache(max_bytes, Metrics())
    cache.serve(model(eyes))
    assert not cache.serves(model("one"))
    assert not cache.serves(model(""))


async def rerank(engine: Engine, query: Item) -> list[object]:
    documents = [Item((each, Text("a shape"))) for each in PICTURES]
    return list(await engine.rerank(query, documents, deadline=time.monotonic() + 60))


async def test_pictures_are_decoded_for_the_first_search_only(monkeypatch: pytest.MonkeyPatch) -> None:
    decodes = Decodes(monkeypatch)
    async with running() as engine:
        first, again, other = [await rerank(engine, Item((Text(text),))) for text in ("a", "a", "shape")]
        by_picture = await rerank(engine, Item((PICTURES[1],)))
        hits = sample(engine, "prism_vision_cache_total", outcome="hit")
    assert set(decodes.times.values()) == {1}
    assert first == again == other == [1.0, 1.0, 1.0]
    assert by_picture == [0.0, 1.0, 0.0]
    assert hits == 3 + 3 + 4


async def test_pictures_seen_at_insert_are_not_decoded_for_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    decodes = Decodes(monkeypatch)
    async with running() as engine:  # both fakes have the same tower
        items = [Item((each,)) for each in PICTURES]
        await engine.vectorize(items, task=Task.DOCUMENT, priority=Priority.BULK, deadline=time.monotonic() + 60)
        await rerank(engine, Item((Text("a"),)))
    assert set(decodes.times.values()) == {1}


@pytest.mark.parametrize("settings", [{"vision_cache_bytes": 0}, {"vision_cache_bytes": 900}])
async def test_without_room_pictures_are_decoded_each_time(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, int]
) -> None:
    decodes = Decodes(monkeypatch)
    async with running(**settings) as engine:
        scores = [await rerank(engine, Item((Text("a"),))) for _ in range(2)]
    assert set(decodes.times.values()) == {2}
    assert scores[0] == scores[1]


async def test_bundled_models_score_what_they_have_seen_as_before() -> None:
    query = Item((Text("a red circle"),))
    scores: list[list[object]] = []
    for cache in (256 << 20, 0):
        async with running(embedder="none", reranker="scenes-reranker", vision_cache_bytes=cache) as engine:
            scores += [await rerank(engine, query) for _ in range(2)]
            kept = sample(engine, "prism_vision_cache_bytes")
        assert bool(kept) == bool(cache)
    for others in scores[1:]:
        assert others == pytest.approx(scores[0], abs=1e-5)
