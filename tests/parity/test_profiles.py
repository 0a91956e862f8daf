"""What profiles change of a model, in one process and behind one cache, equals Sentence Transformers with such options.

All are asked at once and again afterwards: where two of them shared a vector of the cache that is not the same,
one of them would not equal its reference.
"""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from PIL import Image as Pillow
from sentence_transformers import CrossEncoder, SentenceTransformer

from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput
from weaviate_prism.media import MediaDecoder
from weaviate_prism.models import embedder
from weaviate_prism.models.base import ModelError
from weaviate_prism.models.registry import load_model
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Fusion, Image, Item, Part, Priority, Target, Task, Text, Vector, Video

TOLERANCE = 1e-5
FILE = """
[profiles.plain]
embedder = "scenes-embedder"
[profiles.prompted]
embedder = "scenes-embedder"
query_prompt = "Find the scene."
document_prompt = "This is a scene."
[profiles.instructed]
embedder = "scenes-embedder"
instruction = "Look at shapes."
query_prompt = "Find the shape."
[profiles.short]
embedder = "scenes-embedder"
dimensions = 32
[profiles.four-frames]
embedder = "scenes-embedder"
video_frames = 4
[profiles.small-pictures]
embedder = "scenes-embedder"
min_pixels = 1024
max_pixels = 2304
[profiles.average]
embedder = "scenes-embedder"
fusion = "mean"
[profiles.judge]
reranker = "scenes-reranker"
[profiles.instructed-judge]
reranker = "scenes-reranker"
instruction = "Is it this shape?"
[profiles.eager]
embedder = "scenes-embedder"
attention = "eager"
[profiles.small-judge]
reranker = "scenes-reranker"
min_pixels = 1024
max_pixels = 2304
"""
# Those after the second one make other vectors than the first.
EMBEDDERS = ("plain", "eager", "prompted", "instructed", "short", "four-frames", "small-pictures", "average")
SMALL = {"image": {"size": {"shortest_edge": 1024, "longest_edge": 2304}}}
WEIGHTS = {"dtype": torch.float32}
PROMPTS = {
    ("prompted", Task.QUERY): "Find the scene.",
    ("prompted", Task.DOCUMENT): "This is a scene.",
    ("instructed", Task.QUERY): "Find the shape.",
    ("instructed", Task.DOCUMENT): "Look at shapes.",
}


def picture() -> Image:
    coarse = np.random.default_rng(7).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(coarse).resize((200, 120), Pillow.Resampling.NEAREST).save(file, "PNG")
    return Image(file.getvalue())


@pytest.fixture(scope="module")
def parts() -> tuple[Part, ...]:
    pytest.importorskip("torchcodec", reason="torchcodec is not installed, so clips can be neither made nor read")
    from weaviate_prism.bundled.drawing import clip_mp4
    from weaviate_prism.bundled.scenes import make_scenes

    (scene,) = make_scenes(1, seed=3, kinds=("clip",))
    return Text("three small red circles"), picture(), Video(clip_mp4(scene))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    file = tmp_path_factory.mktemp("profiles") / "prism.toml"
    file.write_text(FILE)
    running = Engine(Settings(config=str(file), device="cpu", dtype="float32"))
    await running.start()
    loaded = sorted((model.kind, model.tier) for model in running.info().models)
    fast = [("embedder", "qwen-vl")] * 2, [("reranker", "qwen-vl")] * 2
    assert loaded == [*fast[0], ("embedder", "standard"), *fast[1]]
    yield running
    running.close()


def message(role: str, parts: Sequence[Part], frames: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """An explicit message, and the processor options that its clips need."""
    decoder = MediaDecoder(Settings())
    blocks: list[dict[str, Any]] = []
    options: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, Text):
            blocks.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            blocks.append({"type": "image", "image": decoder.picture(part.data)})
        elif isinstance(part, Video):
            clip = decoder.clip(part.data, frames)
            blocks.append({"type": "video", "video": torch.from_numpy(clip.frames)})
            metadata = {
                "fps": clip.fps,
                "total_num_frames": clip.total_frames,
                "duration": clip.seconds,
                "frames_indices": list(clip.indices),
            }
            options = {"video": {"video_metadata": [metadata], "do_sample_frames": False}}
    return {"role": role, "content": blocks}, options


def reference(model: SentenceTransformer, name: str, task: Task, parts: Sequence[Part]) -> Any:
    content, options = message("user", parts, 4 if name == "four-frames" else 8)
    options |= SMALL if name == "small-pictures" else {}
    encode = model.encode_query if task is Task.QUERY else model.encode_document
    prompt = PROMPTS.get((name, task))
    length = 32 if name == "short" else None
    return encode(
        [[content]], prompt=prompt, normalize_embeddings=True, truncate_dim=length, processing_kwargs=options
    )[0]


async def vectors(engine: Engine, items: Sequence[Item], task: Task, *targets: Target) -> list[list[Any]]:
    results = await engine.vectorize(
        items, task=task, targets=targets, priority=Priority.BULK, deadline=time.monotonic() + 120
    )
    return [list(of_target) for of_target in results]


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.asyncio(loop_scope="module")
async def test_each_profile_equals_sentence_transformers_with_its_options(
    engine: Engine, parts: tuple[Part, ...], task: Task
) -> None:
    items = [Item((part,)) for part in parts] + [Item(parts)]
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu", model_kwargs=WEIGHTS)

    def expected(name: str, item: Item) -> Any:
        if name != "average":
            return reference(model, name, task, item.parts)
        total = sum(reference(model, name, task, [part]) for part in item.parts)
        return total / np.linalg.norm(total)

    references = [[expected(name, item) for item in items] for name in EMBEDDERS]
    targets = [Target(model=name) for name in EMBEDDERS]
    for found in (await vectors(engine, items, task, *targets), await vectors(engine, items, task, *targets)):
        for ours, theirs in zip(found, references, strict=True):
            for vector, wanted in zip(ours, theirs, strict=True):
                assert not isinstance(vector, Exception), vector
                np.testing.assert_allclose(vector, wanted, atol=TOLERANCE)
    # and the options matter: for each there is something of which it makes another vector than the plain profile
    plain = found[0]
    for name, of_profile in zip(EMBEDDERS[2:], found[2:], strict=True):
        pairs = zip(plain, of_profile, strict=True)
        assert any(len(a) != len(b) or np.abs(a - b).max() > 100 * TOLERANCE for a, b in pairs), name


def test_attention_is_computed_as_the_profile_says() -> None:
    settings = Settings(device="cpu", dtype="float32")
    for attention in ("eager", "sdpa"):
        spec = ModelSpec("embedder", "scenes-embedder", dtype="float32", attention=attention)
        model = embedder.load(spec, settings)
        assert model.info.tier == "standard"
        assert model.model.transformers_model.config._attn_implementation == attention


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_request_says_itself_wins_over_its_profile(engine: Engine, parts: tuple[Part, ...]) -> None:
    own = {"instruction": "Find colours.", "dimensions": 16, "fusion": Fusion.MEAN}
    names = ("prompted", "instructed", "short", "average", "plain")
    found = await vectors(engine, [Item(parts)], Task.QUERY, *(Target(model=name, **own) for name in names))  # type: ignore[arg-type]
    rows: list[Vector] = [vector for (vector,) in found]
    assert [len(row) for row in rows] == [16] * len(names)
    for row in rows[:-1]:
        np.testing.assert_array_equal(row, rows[-1])
    with pytest.raises(InvalidInput, match=r"targets\[0\]: dimensions: 999 are more than"):
        await vectors(engine, [Item(parts)], Task.QUERY, Target(model="short", dimensions=999))


@pytest.mark.parametrize("name", ["judge", "instructed-judge", "small-judge"])
@pytest.mark.asyncio(loop_scope="module")
async def test_scores_of_a_profile_equal_cross_encoder_with_its_options(
    engine: Engine, parts: tuple[Part, ...], name: str
) -> None:
    model = CrossEncoder(str(bundled.RERANKER_DIR), device="cpu", model_kwargs=WEIGHTS)
    prompt = "Is it this shape?" if name == "instructed-judge" else None
    documents = [Item((part,)) for part in parts]
    scores = await engine.rerank(Item(parts[:1]), documents, model=name, deadline=time.monotonic() + 60)
    asked, _ = message("query", parts[:1], 8)
    for score, document in zip(scores, documents, strict=True):
        told, options = message("document", document.parts, 8)
        options |= SMALL if name == "small-judge" else {}
        theirs = model.predict([[asked, told]], prompt=prompt, processing_kwargs=options)[0]
        np.testing.assert_allclose(np.asarray(score), theirs, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [({"min_pixels": 8192}, "min_pixels 8192 are more than max_pixels 4096"), ({"max_pixels": 1024}, "4096 are more")],
)
def test_a_budget_for_pictures_that_leaves_nothing_is_refused(pixels: dict[str, int], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load_model(ModelSpec("embedder", "scenes-embedder", **pixels), Settings(device="cpu"))  # type: ignore[arg-type]
