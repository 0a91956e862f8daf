"""Prism's vectors and scores against Sentence Transformers' own, on the same weights: within 1e-5 in fp32.

The reference runs every input on its own through the public API; Prism runs them through the whole
engine, alone and all at once, so that batches mix lengths, tasks and modalities.
"""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from PIL import Image as Pillow
from sentence_transformers import CrossEncoder, SentenceTransformer

from tiers import loaded_the_standard_way
from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.media import MediaDecoder
from weaviate_prism.values import Fusion, Image, Item, Part, Priority, Target, Task, Text, Video

TOLERANCE = 1e-5
RNG = np.random.default_rng(7)


def picture(width: int, height: int) -> Image:
    coarse = RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(coarse).resize((width, height), Pillow.Resampling.NEAREST).save(file, "PNG")
    return Image(file.getvalue())


PICTURES = [picture(256, 256), picture(300, 180), picture(64, 200)]
TEXTS = [Text("three small red circles"), Text(""), Text("a line chart that rises, " * 9), Text("/etc/passwd.png")]
PAIRS: list[tuple[tuple[Part, ...], tuple[Part, ...]]] = [
    ((TEXTS[0],), (TEXTS[2],)),
    ((TEXTS[0],), (TEXTS[1],)),
    ((TEXTS[0],), (PICTURES[0],)),
    ((TEXTS[0],), (PICTURES[1],)),
    ((PICTURES[2],), (PICTURES[0],)),
    ((PICTURES[2],), (TEXTS[0],)),
    ((TEXTS[0], PICTURES[2]), (TEXTS[2], PICTURES[1])),
]


@pytest.fixture(scope="module")
def items(clip: Video) -> list[Item]:
    alone: list[Part] = [*TEXTS, *PICTURES, clip]
    together = [(TEXTS[0], PICTURES[0]), (TEXTS[2], PICTURES[1], clip)]
    return [*(Item((part,)) for part in alone), *(Item(parts) for parts in together)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["qwen-vl", "standard"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """With its models computed in each way."""
    running = Engine(Settings(device="cpu", dtype="float32", cache_bytes=0))
    with loaded_the_standard_way() if request.param == "standard" else nullcontext():
        await running.start()
    assert [model.tier for model in running.info().models] == [request.param] * 2
    yield running
    running.close()


def content(parts: Sequence[Part]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The blocks of an explicit message, and the processor options that its clips need."""
    decoder = MediaDecoder(Settings())
    blocks: list[dict[str, Any]] = []
    metadata = []
    for part in parts:
        if isinstance(part, Text):
            blocks.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            blocks.append({"type": "image", "image": decoder.picture(part.data)})
        elif isinstance(part, Video):
            frames = decoder.clip(part.data)
            blocks.append({"type": "video", "video": torch.from_numpy(frames.frames)})
            metadata.append(
                {
                    "fps": frames.fps,
                    "total_num_frames": frames.total_frames,
                    "duration": frames.seconds,
                    "frames_indices": list(frames.indices),
                }
            )
    options = {"video": {"video_metadata": metadata, "do_sample_frames": False}} if metadata else {}
    return blocks, options


def close(ours: object, reference: Any) -> None:
    assert not isinstance(ours, Exception), ours
    np.testing.assert_allclose(np.asarray(ours), reference, atol=TOLERANCE, rtol=TOLERANCE)  # logits go beyond 1


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.asyncio(loop_scope="module")
async def test_vectors_equal_sentence_transformers(engine: Engine, items: list[Item], task: Task) -> None:
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})
    encode = model.encode_query if task is Task.QUERY else model.encode_document
    alone = [(await _vectorize(engine, [item], task))[0] for item in items]
    together = await _vectorize(engine, items * 3, task)
    for index, item in enumerate(items):
        blocks, options = content(item.parts)
        message = [{"role": "user", "content": blocks}]
        reference = encode([message], normalize_embeddings=True, processing_kwargs=options)[0]
        for ours in (alone[index], *together[index :: len(items)]):
            close(ours, reference)


@pytest.mark.asyncio(loop_scope="module")
async def test_plain_inputs_equal_sentence_transformers(engine: Engine) -> None:
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})
    ours = await _vectorize(engine, [Item((TEXTS[0],)), Item((PICTURES[0],))], Task.DOCUMENT)
    picture_ = MediaDecoder(Settings()).picture(PICTURES[0].data)
    for vector, plain in zip(ours, (TEXTS[0].text, picture_), strict=True):
        close(vector, model.encode_document([plain], normalize_embeddings=True)[0])


@pytest.mark.asyncio(loop_scope="module")
async def test_cut_vectors_equal_truncate_dim(engine: Engine) -> None:
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})
    ((ours,),) = await engine.vectorize(
        [Item((TEXTS[0],))],
        task=Task.QUERY,
        targets=[Target(dimensions=32)],
        priority=Priority.QUERY,
        deadline=time.monotonic() + 60,
    )
    close(ours, model.encode_query([TEXTS[0].text], normalize_embeddings=True, truncate_dim=32)[0])


@pytest.mark.asyncio(loop_scope="module")
async def test_means_of_several_targets_equal_the_average_of_sentence_transformers_vectors(
    engine: Engine, clip: Video
) -> None:
    """All targets read the same decoded picture and clip: neither may be changed by who prepared it before."""
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})
    parts = (Text(TEXTS[0].text, "title"), Image(PICTURES[1].data, "still"), Video(clip.data, "trailer"))
    fields, prompt = ("title", "still", "trailer"), "Find shapes."
    targets = [
        Target(fusion=Fusion.MEAN),
        Target(fusion=Fusion.MEAN, fields=fields, weights=(0.5, 0.0, 2.0), dimensions=48),
        Target(fusion=Fusion.MEAN, instruction=prompt),
        Target(),
        Target(instruction=prompt),
    ]

    def reference(*some: Part, **options: Any) -> Any:
        blocks, media = content(some)
        message = [{"role": "user", "content": blocks}]
        return model.encode_document([message], normalize_embeddings=True, processing_kwargs=media, **options)[0]

    plain = np.stack([reference(part) for part in parts])
    asked = np.stack([reference(part, prompt=prompt) for part in parts])
    weighted = (np.array([0.5, 0.0, 2.0]) @ plain)[:48]
    expected = [plain.sum(axis=0), weighted, asked.sum(axis=0), reference(*parts), reference(*parts, prompt=prompt)]
    results = await engine.vectorize(
        [Item(parts)], task=Task.DOCUMENT, targets=targets, priority=Priority.BULK, deadline=time.monotonic() + 120
    )
    for (ours,), mean in zip(results, expected, strict=True):
        close(ours, mean / np.linalg.norm(mean))


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.asyncio(loop_scope="module")
async def test_scores_equal_cross_encoder(clip: Video, logits: bool) -> None:
    model = CrossEncoder(str(bundled.RERANKER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})
    activation = {"activation_fn": torch.nn.Identity()} if logits else {}
    engine = Engine(Settings(embedder="none", device="cpu", dtype="float32", rerank_logits=logits))
    await engine.start()
    pairs = [*PAIRS, ((TEXTS[0],), (clip,)), ((clip,), (PICTURES[0], TEXTS[0]))]
    for query, document in pairs:
        asked, query_options = content(query)
        told, options = content(document)
        message = [{"role": "query", "content": asked}, {"role": "document", "content": told}]
        reference = model.predict([message], processing_kwargs=query_options or options, **activation)[0]
        filler = [Item((TEXTS[2],)), Item((PICTURES[1],)), Item(document), Item((TEXTS[1],))]
        among = await engine.rerank(Item(query), filler, deadline=time.monotonic() + 60)
        alone = await engine.rerank(Item(query), [Item(document)], deadline=time.monotonic() + 60)
        close(among[2], reference)
        close(alone[0], reference)
    engine.close()


async def _vectorize(engine: Engine, items: Sequence[Item], task: Task) -> list[Any]:
    (vectors,) = await engine.vectorize(items, task=task, priority=Priority.BULK, deadline=time.monotonic() + 120)
    return list(vectors)
