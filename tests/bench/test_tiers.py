"""Both ways to compute the bundled models, turn by turn: the same weights, threads and decoded content.

`faster_per_standard` below 1 means that the faster way takes so much of the standard way's time.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch

from bench.timing import medians
from tiers import loaded_the_standard_way
from weaviate_prism.bundled.drawing import clip_mp4, picture_jpeg
from weaviate_prism.bundled.scenes import PICTURE_KINDS, make_scenes
from weaviate_prism.config import Settings
from weaviate_prism.media import MediaDecoder
from weaviate_prism.models import embedder, reranker
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.models.qwen_vl import QwenVL
from weaviate_prism.models.reranker import CrossEncoderReranker
from weaviate_prism.models.standard import Standard
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

SETTINGS = Settings(device="cpu", dtype="float32")
MODEL = ModelSpec("embedder", "scenes-embedder", dtype="float32")
RERANKER = ModelSpec("reranker", "scenes-reranker", dtype="float32")
ROUNDS, BATCH, DOCUMENTS = 30, 4, 32


@dataclass(frozen=True)
class Kind:
    """Inputs of one kind; the medium's bytes, for a decoder at work beside."""

    contents: list[Content]
    data: bytes = b""


@pytest.fixture(scope="module")
def ways() -> dict[str, SentenceEmbedder]:
    faster = embedder.load(MODEL, SETTINGS)
    with loaded_the_standard_way():
        standard = embedder.load(MODEL, SETTINGS)
    assert (faster.info.tier, standard.info.tier) == (QwenVL.name, Standard.name)
    return {"faster": faster, "standard": standard}


@pytest.fixture(scope="module")
def kinds() -> dict[str, Kind]:
    decoder = MediaDecoder(SETTINGS)
    pictures, clips = make_scenes(BATCH, seed=1, kinds=PICTURE_KINDS), make_scenes(BATCH, seed=1, kinds=("clip",))
    return {
        "text": Kind([scene.caption for scene in pictures]),
        "picture": Kind([decoder.picture(picture_jpeg(scene)) for scene in pictures], picture_jpeg(pictures[0])),
        "clip": Kind([decoder.clip(clip_mp4(scene)) for scene in clips], clip_mp4(clips[0])),
    }


def prepared(model: SentenceEmbedder, contents: Sequence[Content]) -> list[Prepared]:
    return [model.prepare([model.patched(content)], Task.DOCUMENT, "") for content in contents]


@pytest.mark.parametrize("kind", ["text", "picture", "clip"])
def test_preparing_4(
    ways: dict[str, SentenceEmbedder], kinds: dict[str, Kind], report: Callable[..., None], kind: str
) -> None:
    contents = kinds[kind].contents
    calls = {way: functools.partial(prepared, model, contents) for way, model in ways.items()}
    report_ratio(report, medians(calls, ROUNDS))


@pytest.fixture(params=["alone", "beside_a_decoder"])
def company(request: pytest.FixtureRequest, kinds: dict[str, Kind]) -> Iterator[str]:
    """A thread that decodes pictures and clips and wants Python's lock now and then, or none."""
    done = threading.Event()

    def decode() -> None:
        decoder = MediaDecoder(SETTINGS)
        torch.set_num_threads(1)
        while not done.is_set():
            decoder.picture(kinds["picture"].data)
            decoder.clip(kinds["clip"].data)

    beside = threading.Thread(target=decode)
    if request.param != "alone":
        beside.start()
    yield request.param
    done.set()
    if request.param != "alone":
        beside.join()


def test_computing_4_texts_4_pictures_and_4_clips(
    ways: dict[str, SentenceEmbedder], kinds: dict[str, Kind], company: str, report: Callable[..., None]
) -> None:
    """The standard way takes one batch for each kind, as the scheduler would."""

    def standard() -> None:
        for batch in by_kind:
            ways["standard"].forward(batch)

    def faster() -> None:
        for patches, unseen in pixels.items():
            patches.pixels, patches.seen = unseen, ()
        ways["faster"].forward(together)

    by_kind = [prepared(ways["standard"], kind.contents) for kind in kinds.values()]
    together = [each for kind in kinds.values() for each in prepared(ways["faster"], kind.contents)]
    pixels = {patches: patches.pixels for each in together for patches in each.features.media}
    assert len(pixels) == 2 * BATCH
    report_ratio(report, medians({"faster": faster, "standard": standard}, ROUNDS))


@pytest.fixture(scope="module")
def rerankers() -> dict[str, CrossEncoderReranker]:
    faster = reranker.load(RERANKER, SETTINGS)
    with loaded_the_standard_way():
        standard = reranker.load(RERANKER, SETTINGS)
    assert (faster.info.tier, standard.info.tier) == (QwenVL.name, Standard.name)
    return {"faster": faster, "standard": standard}


@pytest.mark.parametrize("documents", ["texts", "pictures", "seen pictures"])
def test_reranking_32(rerankers: dict[str, CrossEncoderReranker], report: Callable[..., None], documents: str) -> None:
    """Decoded documents to scores, each way in one batch."""
    scenes = make_scenes(DOCUMENTS, seed=2, kinds=PICTURE_KINDS)
    decoder = MediaDecoder(SETTINGS)
    contents: list[Content] = [
        " ".join([scene.caption] * 5) if documents == "texts" else decoder.picture(picture_jpeg(scene))
        for scene in scenes
    ]

    def scored(model: CrossEncoderReranker, some: Sequence[Content]) -> None:
        asked = model.asked(["a red circle left of a blue square"], "")
        model.forward([model.prepare(asked, [model.patched(content)]) for content in some])

    faster = contents
    if documents == "seen pictures":
        faster = [rerankers["faster"].patched(content) for content in contents]
    calls = {
        "faster": functools.partial(scored, rerankers["faster"], faster),
        "standard": functools.partial(scored, rerankers["standard"], contents),
    }
    for call in calls.values():
        call()
    report_ratio(report, medians(calls, ROUNDS // 3))


def report_ratio(report: Callable[..., None], times: dict[str, float]) -> None:
    report(
        faster_per_standard=times["faster"] / times["standard"],
        **{f"{way}_ms": taken * 1000 for way, taken in times.items()},
    )
