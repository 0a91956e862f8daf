"""The vision cache: what a tower has seen is neither decoded nor looked at again, within a budget of bytes."""

from __future__ import annotations

import time

import pytest

from contract.samples import picture
from engines import running
from unit.test_targets import Decodes, sample
from weaviate_prism.engine import Engine
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Model, Patches
from weaviate_prism.models.fake import FakeCost, FakeEmbedder, FakeReranker
from weaviate_prism.values import Image, Item, Modality, Priority, Task, Text
from weaviate_prism.vision_cache import ENTRY_OVERHEAD, VisionCache

FRAMES = 8
PICTURE, CLIP = (Modality.IMAGE, "picture"), (Modality.VIDEO, "clip")
PICTURES = [Image(picture(colour)) for colour in ("red", "green", "blue")]


def patches(nbytes: int = 0) -> Patches:
    return Patches(Modality.IMAGE, None, (1, 2, 2), nbytes=nbytes)


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
    cache, picture, clip = served(), patches(), patches()
    assert cache.keep(model(), PICTURE, 8, picture) is picture
    assert cache.keep(model(), CLIP, 8, clip) is clip
    assert cache.find(model(), PICTURE, 8) is cache.find(model(), PICTURE, 4) is picture
    assert cache.find(model(), CLIP, 8) is clip
    assert cache.find(model(), CLIP, 4) is None
    assert cache.find(model("another"), PICTURE, 8) is None
    assert cache.find(model(), (Modality.IMAGE, "other"), 8) is None


def test_the_first_of_two_that_look_at_once_is_the_one_for_both() -> None:
    cache, first = served(), patches()
    cache.keep(model(), PICTURE, 8, first)
    assert cache.keep(model(), PICTURE, 8, patches()) is first


def keep(cache: VisionCache, digest: str, model: Model, nbytes: int = 1000) -> None:
    cache.keep(model, (Modality.IMAGE, digest), 8, patches(nbytes))


def found(cache: VisionCache) -> str:
    return "".join(digest for digest in "abcdef" if cache.seen(model(), digest, 8))


def test_the_least_recently_seen_is_dropped_over_the_budget() -> None:
    cache = served(3 * (1000 + ENTRY_OVERHEAD))
    for digest in "abc":
        keep(cache, digest, model())
    cache.find(model(), (Modality.IMAGE, "a"), 8)
    keep(cache, "d", model())
    assert found(cache) == "acd"
    keep(cache, "e", model(), nbytes=6000)
    assert found(cache) == "acd"


def test_an_import_pushes_nothing_out_that_is_searched_for() -> None:
    cache, embedder = served(3 * (1000 + ENTRY_OVERHEAD)), FakeEmbedder(FakeCost())
    embedder.eyes = "one"
    keep(cache, "a", model())
    for digest in "bcde":
        keep(cache, digest, embedder)
    assert found(cache) == "abc"


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


async def test_a_search_over_more_than_there_is_room_for_finds_most_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    decodes = Decodes(monkeypatch)
    async with running(vision_cache_bytes=2 * ENTRY_OVERHEAD) as engine:
        for _ in range(4):
            await rerank(engine, Item((Text("a"),)))
    assert sum(decodes.times.values()) == len(PICTURES) + 3  # one that found no room, in each further search


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
