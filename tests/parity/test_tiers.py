"""The faster way to compute a Qwen3-VL model: taken only where it proves right, and what it saves."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from PIL import Image as Pillow
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from contract.running import InProcess
from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput
from weaviate_prism.models import embedder, reranker
from weaviate_prism.models.base import Clip, Content, Patches, Prepared
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.models.heads import pooled
from weaviate_prism.models.messages import Messages
from weaviate_prism.models.qwen_vl import QwenVL
from weaviate_prism.models.standard import Standard
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.models.vision_tower import VisionTower
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Image, Item, Priority, Target, Task, Text

FLOAT32 = Settings(device="cpu", dtype="float32", cache_bytes=0)
RERANKER = ModelSpec("reranker", "scenes-reranker", dtype="float32")


def load(settings: Settings) -> SentenceEmbedder:
    return embedder.load(ModelSpec("embedder", "scenes-embedder", dtype=settings.dtype), settings)


def picture(colour: str) -> Pillow.Image:
    return Pillow.new("RGB", (90, 60), colour)


def encoded(colour: str) -> Image:
    file = io.BytesIO()
    picture(colour).save(file, "PNG")
    return Image(file.getvalue())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Engine]:
    running = Engine(FLOAT32)
    await running.start()
    assert running.ready()
    yield running
    running.close()


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures the vision tower saw in each call."""
    counts: list[int] = []
    call = VisionTower.__call__

    def counted(self: VisionTower, pixels: torch.Tensor, grids: Sequence[Any]) -> list[torch.Tensor]:
        counts.append(len(grids))
        return call(self, pixels, grids)

    monkeypatch.setattr(VisionTower, "__call__", counted)
    return counts


@pytest.mark.asyncio(loop_scope="module")
async def test_the_bundled_models_are_computed_the_faster_way_and_say_so(engine: Engine) -> None:
    assert {model.kind: model.tier for model in engine.info().models} == {"embedder": "qwen-vl", "reranker": "qwen-vl"}
    labels = {"kind": "embedder", "name": "scenes-embedder", "tier": "qwen-vl"}
    assert engine.metrics.registry.get_sample_value("prism_model_info", labels) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_targets_with_different_instructions_look_at_a_picture_once(engine: Engine, looked_at: list[int]) -> None:
    item = Item((Text("a scene", "title"), encoded("teal")))
    targets = [Target(), Target(instruction="Find the colour."), Target(instruction="Find the shape.")]

    async def vectors(*some: Target) -> list[Any]:
        results = await engine.vectorize(
            [item], task=Task.DOCUMENT, targets=some, priority=Priority.BULK, deadline=time.monotonic() + 60
        )
        return [vector for (vector,) in results]

    together = await vectors(*targets)
    assert sum(looked_at) == 1
    alone = [vector for target in targets for vector in await vectors(target)]
    assert sum(looked_at) == 1 + len(targets)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert not np.allclose(together[1], together[2], atol=1e-3)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_picture_of_a_query_is_looked_at_once_for_all_documents(engine: Engine, looked_at: list[int]) -> None:
    documents = [Item((Text(f"{number} circles"),)) for number in range(40)]
    scores = await engine.rerank(Item((encoded("navy"),)), documents, deadline=time.monotonic() + 60)
    assert all(isinstance(score, float) for score in scores)
    assert sum(looked_at) == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("instruction", ["", "Find shapes."])
async def test_texts_over_the_limit_are_cut_as_sentence_transformers_cuts_them(
    engine: Engine, instruction: str
) -> None:
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})
    words = "three small red circles left of a blue square " * 400
    for text in (words, words + "end", words[:-1]):
        ((ours,),) = await engine.vectorize(
            [Item((Text(text),))],
            task=Task.DOCUMENT,
            targets=[Target(instruction=instruction)],
            priority=Priority.BULK,
            deadline=time.monotonic() + 60,
        )
        reference = model.encode_document([text], normalize_embeddings=True, prompt=instruction or None)[0]
        np.testing.assert_allclose(np.asarray(ours), reference, atol=1e-5)


def test_media_over_the_limit_are_refused() -> None:
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu")
    model.max_seq_length = 60
    tier = QwenVL(model, pooled, max_tokens=60)
    pictures = [tier.patched(picture("red"))] * 5
    message = {"role": "user", "content": [{"type": "image", "image": each} for each in pictures]}
    with pytest.raises(InvalidInput, match="over 60 tokens"):
        tier.prepare([message], pictures, prompt=None, task="document")


def test_a_picture_too_narrow_is_refused_by_name() -> None:
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu")
    with pytest.raises(InvalidInput, match="aspect ratio"):
        QwenVL(model, pooled, max_tokens=2048).patched(Pillow.new("RGB", (2010, 10)))


def test_a_text_that_the_tokenizer_cannot_read_is_refused() -> None:
    with pytest.raises(InvalidInput):
        load(FLOAT32).prepare(["lone \ud800"], Task.QUERY, "")


def answered(model: SentenceEmbedder, text: str) -> Any:
    (vector,) = model.forward([model.prepare([text], Task.QUERY, "")])
    return vector


@pytest.mark.parametrize("off", [1e-3, float("nan")])
def test_a_way_that_answers_differently_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, off: float
) -> None:
    right = answered(load(FLOAT32), "red")
    forward = QwenVL.forward

    def wrong(self: QwenVL, batch: Sequence[Prepared]) -> torch.Tensor:
        answers = forward(self, batch)
        answers[..., 0] += off * answers.norm()
        return answers

    monkeypatch.setattr(QwenVL, "forward", wrong)
    model = load(FLOAT32)
    assert (model.info.tier, model.info.refused_tiers) == ("standard", ("qwen-vl",))
    assert "failed its proof" in caplog.text
    np.testing.assert_allclose(answered(model, "red"), right, atol=1e-5)
    assert reranker.load(RERANKER, FLOAT32).info.tier == "standard"


@pytest.mark.parametrize("method", ["__init__", "__call__"])
def test_a_way_that_breaks_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    def broken(*arguments: Any) -> None:
        raise AttributeError("a new version has no such thing")

    monkeypatch.setattr(VisionTower, method, broken)
    assert load(FLOAT32).info.tier == "standard"
    assert "no such thing" in caplog.text


def test_meta_and_metrics_tell_of_a_way_that_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(VisionTower, "__call__")
    with InProcess(embedder="scenes-embedder", reranker="none", device="cpu", dtype="float32") as running:
        (model,) = running.http.get("/meta").json()["models"]
        metrics = running.http.get("/metrics").text
    assert (model["tier"], model["refused_tiers"]) == ("standard", ["qwen-vl"])
    assert 'prism_tiers_refused_total{kind="embedder",name="scenes-embedder",tier="qwen-vl"} 1.0' in metrics


def mean_pooled(model: Any) -> None:
    model[1] = Pooling(model.get_embedding_dimension(), "mean")


def with_options(model: Any) -> None:
    model[0].processing_kwargs = {"image": {"do_resize": False}}


def flat(model: Any) -> None:
    model[0].input_formatter.message_format = "flat"


def unscaled(model: Any) -> None:
    model[0].processor.image_processor.do_rescale = False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (mean_pooled, "does not pool the last token"),
        (with_options, "options of its processor: image"),
        (flat, "messages are flat"),
        (unscaled, "leaves out"),
    ],
)
def test_what_is_not_done_here_is_left_to_sentence_transformers(change: Callable[[Any], None], reason: str) -> None:
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu")
    change(model)
    with pytest.raises(NotApplicable, match=reason):
        QwenVL(model, pooled, max_tokens=2048)


def test_media_are_put_where_the_template_has_their_kind() -> None:
    """Here pictures come before clips, whatever the order of the conversation."""
    model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu")
    template = model[0].processor.chat_template
    first = "selectattr('type', 'equalto', 'image') | list"
    others = "rejectattr('type', 'equalto', 'image') | list"
    changed = template.replace("for part in content", f"for part in (content | {first}) + (content | {others})")
    assert changed != template
    model[0].processor.chat_template = changed
    tiers = Standard(model, "sentence_embedding", 2048), QwenVL(model, pooled, 2048)
    noise = np.random.default_rng(3).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)
    clip = Clip(noise, fps=5.0, total_frames=30, seconds=6.0, indices=(0, 5, 10, 15, 20, 29))
    messages, vectors = Messages(model, 2048), []
    for tier in tiers:
        contents = [tier.patched(content) for content in (clip, "then", picture("red"), picture("blue"))]
        source = [messages.message("user", contents)]
        with torch.inference_mode():
            vector = tier.forward([tier.prepare(source, contents, prompt=None, task="document")])[0]
        vectors.append(vector / vector.norm())
    torch.testing.assert_close(*vectors, atol=1e-5, rtol=0)


def test_bfloat16_stays_close_to_float32() -> None:
    rough, exact = (load(Settings(device="cpu", dtype=dtype)) for dtype in ("bfloat16", "float32"))
    assert rough.info.tier == "qwen-vl"
    contents: tuple[list[Content], ...] = (["three small red circles"], [picture("red")], ["left of", picture("blue")])
    for content in contents:
        vectors = []
        for model in (rough, exact):
            patched = [model.patched(part) for part in content]
            (vector,) = model.forward([model.prepare(patched, Task.DOCUMENT, "")])
            vectors.append(vector / np.linalg.norm(vector))
        assert float(vectors[0] @ vectors[1]) >= 0.9995


def test_models_share_what_they_have_seen_only_where_weights_and_processors_are_equal() -> None:
    def eyes(change: Callable[[Any], object] = lambda model: None) -> str:
        model = SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})
        change(model)
        return QwenVL(model, pooled, 2048).eyes

    def weight(model: Any) -> None:
        with torch.no_grad():
            model[0].model.visual.merger.linear_fc2.bias[0] += 1e-6

    def size(model: Any) -> None:
        model[0].processor.image_processor.size["longest_edge"] *= 2

    changed = [eyes(change) for change in (weight, size, lambda model: model.bfloat16())]
    assert len({eyes(), eyes(), *changed, reranker.load(RERANKER, FLOAT32).eyes}) == 5


def test_of_what_the_tower_has_seen_only_that_is_kept() -> None:
    """No pixels, and nothing of the pictures that it looked at in the same batch."""
    model = load(FLOAT32)
    pictures = [model.patched(picture(colour)) for colour in ("red", "green", "blue")]
    alone = model.patched(picture("red"))
    (expected,) = model.forward([model.prepare([alone], Task.DOCUMENT, "")])
    for _ in range(2):
        vectors = model.forward([model.prepare([each], Task.DOCUMENT, "") for each in pictures])
        np.testing.assert_allclose(vectors[0], expected, atol=1e-5)
    for each in pictures:
        assert isinstance(each, Patches)
        assert each.pixels is None
        assert each.nbytes >= sum(level.untyped_storage().nbytes() for level in each.seen)


def test_a_picture_is_paid_for_by_one_input_as_long_as_that_may_be_computed() -> None:
    model = load(FLOAT32)
    read = model.patched(picture("red"))
    first = model.prepare([read], Task.DOCUMENT, "")
    second = model.prepare([read], Task.DOCUMENT, "")
    assert second.cost < first.cost
    costs = first.cost, second.cost
    del first  # its caller is gone
    third = model.prepare([read], Task.DOCUMENT, "")
    assert (third.cost, second.cost) == costs
    model.forward([third])
    assert model.prepare([read], Task.DOCUMENT, "").cost == second.cost
