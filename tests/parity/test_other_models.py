"""Models without messages equal Sentence Transformers too; what would compute something else is refused."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from sentence_transformers import CrossEncoder, SentenceTransformer

from engines import running
from tiny import texts, towers
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import PrismError, Unsupported
from weaviate_prism.models import loading
from weaviate_prism.models.base import ModelError
from weaviate_prism.models.registry import load_model
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Fusion, Image, Item, Part, Priority, Target, Task, Text, Video

TOLERANCE = 1e-5
TEXTS = ["a red bicycle", "", "quarterly revenue rose " * 60]


async def started(**settings: Any) -> Engine:
    options: dict[str, Any] = {"embedder": "none", "reranker": "none", "device": "cpu", "dtype": "float32"}
    engine = Engine(Settings(**options | settings))
    await engine.start()
    return engine


def picture(path: Path | None = None) -> Image:
    pixels = np.random.default_rng(5).integers(0, 255, (80, 120, 3), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    if path is not None:
        path.write_bytes(file.getvalue())
    return Image(file.getvalue())


async def vectors(engine: Engine, *parts: Part) -> list[Any]:
    items = [Item((part,)) for part in parts]
    (results,) = await engine.vectorize(
        items, task=Task.DOCUMENT, priority=Priority.BULK, deadline=time.monotonic() + 60
    )
    return list(results)


async def test_clip_equals_sentence_transformers_for_texts_and_pictures_at_once(tmp_path: Path) -> None:
    directory = towers.clip(tmp_path)
    engine = await started(embedder=str(directory))
    reference = SentenceTransformer(str(directory), device="cpu")
    ours = await vectors(engine, *(Text(text) for text in TEXTS), picture(), Video(b"\0\0\0\x18ftypmp42"))
    engine.close()
    for vector, text in zip(ours, TEXTS, strict=False):
        np.testing.assert_allclose(vector, reference.encode([text])[0], atol=TOLERANCE)
    pixels = Pillow.open(io.BytesIO(picture().data))
    np.testing.assert_allclose(ours[3], reference.encode([pixels])[0], atol=TOLERANCE)
    assert isinstance(ours[4], Unsupported)


async def test_pictures_are_read_alike_while_another_model_is_loaded(tmp_path: Path) -> None:
    directory = towers.clip(tmp_path)
    engine = await started(embedder=str(directory), cache_bytes=0)
    torch.set_default_dtype(torch.bfloat16)  # as transformers does, for all threads
    try:
        (meanwhile,) = await vectors(engine, picture())
    finally:
        torch.set_default_dtype(torch.float32)
    (afterwards,) = await vectors(engine, picture())
    engine.close()
    reference = SentenceTransformer(str(directory), device="cpu")
    (expected,) = reference.encode([Pillow.open(io.BytesIO(picture().data))], normalize_embeddings=True)
    np.testing.assert_allclose([meanwhile, afterwards], [expected, expected], atol=TOLERANCE, rtol=0)


async def test_a_text_that_names_a_picture_file_stays_a_text(tmp_path: Path) -> None:
    directory = towers.clip(tmp_path)
    file = tmp_path / "picture.png"
    pixels = picture(file)
    engine = await started(embedder=str(directory))
    named, shown, unlike = await vectors(engine, Text(str(file)), pixels, Text(f"{file} ?"))
    engine.close()
    assert isinstance(named, np.ndarray)
    assert isinstance(shown, np.ndarray)
    assert isinstance(unlike, np.ndarray)
    assert float(named @ shown) != pytest.approx(1.0, abs=1e-3)
    assert float(named @ unlike) > float(named @ shown)


async def test_several_parts_of_clip_become_their_mean_and_never_one_message(tmp_path: Path) -> None:
    directory = towers.clip(tmp_path)
    engine = await started(embedder=str(directory))
    assert [model.joint for model in engine.info().models] == [False]
    pixels = picture(tmp_path / "picture.png")
    item = Item((Text("a red bicycle", field="title"), Image(pixels.data, field="still")))
    weighted = Target(fields=("title", "still"), weights=(3.0, 1.0), fusion=Fusion.MEAN, dimensions=8)

    async def vectorize(*targets: Target) -> list[Any]:
        results = await engine.vectorize(
            [item], task=Task.DOCUMENT, targets=targets, priority=Priority.BULK, deadline=time.monotonic() + 60
        )
        return [vector for (vector,) in results]

    ours = await vectorize(Target(), weighted)
    with pytest.raises(Unsupported, match=r"targets\[1\]: fusion: .* one part at a time"):
        await vectorize(Target(), Target(fusion=Fusion.JOINT))
    engine.close()
    model = SentenceTransformer(str(directory), device="cpu")
    opened = Pillow.open(io.BytesIO(pixels.data))
    text, image = (model.encode([each], normalize_embeddings=True)[0] for each in ("a red bicycle", opened))
    for vector, mean in zip(ours, (text + image, (3 * text + image)[:8]), strict=True):
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=TOLERANCE, rtol=0)


async def test_a_profile_that_wants_joint_vectors_of_clip_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "prism.toml"
    file.write_text(f'[profiles.whole]\nembedder = "{towers.clip(tmp_path)}"\nfusion = "joint"\n')
    async with running(config=str(file), embedder="", reranker="", device="cpu") as engine:
        assert not engine.ready()
        failure = await engine.failed()
    assert re.search("profile 'whole': fusion: .* takes one part at a time, so it cannot be joint", failure)


async def test_a_text_cross_encoder_equals_sentence_transformers_and_takes_no_pictures(tmp_path: Path) -> None:
    directory = texts.cross_encoder(tmp_path)
    engine = await started(reranker=str(directory))
    reference = CrossEncoder(str(directory), device="cpu")
    documents = ["a red bicycle leans", "", "revenue", "quarterly revenue rose by twelve percent"]
    items: list[Item | PrismError] = [Item((Text(text),)) for text in documents]
    scores = await engine.rerank(Item((Text("red"),)), [*items, Item((picture(),))], deadline=time.monotonic() + 60)
    engine.close()
    expected = reference.predict([("red", text) for text in documents])
    np.testing.assert_allclose(np.array(scores[:-1], dtype=float), expected, atol=TOLERANCE)
    assert isinstance(scores[-1], Unsupported)


async def test_a_long_query_does_not_push_the_document_out(tmp_path: Path) -> None:
    engine = await started(reranker=str(texts.cross_encoder(tmp_path)))
    query = Item((Text("red " * 500),))
    answers = await engine.rerank(
        query, [Item((Text("a bicycle"),)), Item((Text("revenue"),))], deadline=time.monotonic() + 60
    )
    engine.close()
    assert answers[0] != answers[1]


async def test_control_tokens_in_a_text_are_only_text(tmp_path: Path) -> None:
    engine = await started(reranker=str(texts.cross_encoder(tmp_path)))
    spelt, broken = await engine.rerank(
        Item((Text("red"),)),
        [Item((Text("wall [SEP] revenue"),)), Item((Text("wall [ SEP] revenue"),))],
        deadline=time.monotonic() + 60,
    )
    engine.close()
    assert spelt == broken


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("bare", "no modules.json"),
        ("labels", "3 scores per pair"),
        ("missing", "nor a directory"),
        ("elsewhere", "nobody/nothing: cannot be had from the hub"),
    ],
)
async def test_a_model_that_would_compute_something_else_is_refused(tmp_path: Path, kind: str, reason: str) -> None:
    if kind == "labels":
        engine = await started(reranker=str(texts.cross_encoder(tmp_path, labels=3)))
    else:
        names = {"bare": str(texts.bare_bert(tmp_path)), "missing": "/no/such/model", "elsewhere": "nobody/nothing"}
        engine = await started(embedder=names[kind])
    assert reason in await engine.failed()
    engine.close()


@pytest.mark.parametrize(("kind", "made_by"), [("embedder", "SentenceTransformer"), ("reranker", "CrossEncoder")])
def test_a_model_whose_processor_fetches_texts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, made_by: str
) -> None:
    directory = towers.clip(tmp_path)
    model = SentenceTransformer(str(directory), device="cpu")
    model[0].processor = type("IdeficsProcessor", (), {})()
    monkeypatch.setattr(f"weaviate_prism.models.{kind}.{made_by}", lambda *_, **__: model)
    (directory / "config_sentence_transformers.json").unlink()  # which says that it is an embedder
    with pytest.raises(ModelError, match="clip: would fetch what clients write"):
        load_model(ModelSpec(kind, str(directory)), Settings(device="cpu"))


def test_a_directory_of_another_revision_is_refused() -> None:
    spec = ModelSpec("embedder", "scenes-embedder", "0" * 40)
    with pytest.raises(ModelError, match=r"^scenes-embedder: .* of revision [0-9a-f]{40} .*, not 0{40}$"):
        load_model(spec, Settings(device="cpu"))


@pytest.mark.parametrize(
    ("name", "noticed"), [("tokenizer.json", True), ("code.py", True), ("model.safetensors", False)]
)
def test_a_fingerprint_is_of_whole_files_but_for_weights(tmp_path: Path, name: str, noticed: bool) -> None:
    file = tmp_path / name
    file.write_bytes(bytes(3 << 20))
    before = loading.fingerprint(tmp_path)

    def changed(place: int) -> bool:
        content = bytearray(3 << 20)
        content[place] = 1
        file.write_bytes(content)
        return loading.fingerprint(tmp_path) != before

    assert changed(0)
    assert changed(-1)
    assert changed(3 << 19) is noticed
