"""The faster way to compute CLIP and SigLIP: equal to Sentence Transformers, and taken only where it proves right."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Dropout
from transformers import CLIPImageProcessor, CLIPImageProcessorPil, SiglipImageProcessor

from tiers import TEXTS, load
from tiny import towers
from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.clip import DualEncoder
from weaviate_prism.models.crops import Crops
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.models.messages import untruncated
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.values import Task

FAMILIES = {
    "clip": towers.clip,
    "legacy-clip": towers.legacy_clip,
    "siglip": towers.siglip,
    "siglip2": towers.siglip2,
}
PROMPTS = {"query": "A photo of ", "document": ""}
SIZES = [(64, 64), (120, 80), (50, 41), (1, 1), (3, 200), (333, 64), (65, 63), (900, 701), (31, 1999)]


def picture(width: int, height: int) -> Pillow.Image:
    noise = np.random.default_rng(width * height)
    return Pillow.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8))


def prepared(model: SentenceEmbedder, content: Content, task: Task = Task.DOCUMENT) -> Prepared:
    return model.prepare([model.patched(content)], task, "")


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture(scope="module", params=FAMILIES)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = FAMILIES[request.param](tmp_path_factory.mktemp(request.param))
    (made / "config_sentence_transformers.json").write_text(json.dumps({"prompts": PROMPTS}))
    return made


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return towers.clip(tmp_path)


def reference(directory: Path) -> SentenceTransformer:
    model = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": torch.float32})
    if "siglip" in str(directory):
        model[0].processing_kwargs["text"] = {"padding": "max_length", "max_length": 24}
    return model


@pytest.mark.parametrize("task", Task)
def test_vectors_equal_sentence_transformers_alone_and_in_any_batch(directory: Path, task: Task) -> None:
    model, theirs = load(directory), reference(directory)
    assert (model.info.tier, model.info.refused_tiers) == ("clip", ())
    contents: list[Content] = [*TEXTS, *(picture(*size) for size in SIZES)]
    encode = theirs.encode_query if task is Task.QUERY else theirs.encode_document
    expected = [encode([content], normalize_embeddings=True)[0] for content in contents]
    inputs = [prepared(model, content, task) for content in contents]
    for one, vector in zip(inputs, expected, strict=True):
        np.testing.assert_allclose(unit(model.forward([one])[0]), vector, atol=1e-5, rtol=0)
    order = list(range(len(inputs)))
    for turn in range(3):
        random.Random(turn).shuffle(order)
        for group in {each.group for each in inputs}:
            some = [place for place in order if inputs[place].group == group]
            vectors = unit(model.forward([inputs[place] for place in some]))
            np.testing.assert_allclose(vectors, [expected[place] for place in some], atol=1e-5, rtol=0)


def test_texts_and_pictures_are_in_batches_of_their_own_and_texts_of_all_lengths_in_one(directory: Path) -> None:
    model = load(directory)
    texts = [prepared(model, text) for text in TEXTS]
    pictures = [prepared(model, picture(*size)) for size in SIZES]
    (of_texts,), (of_pictures,) = ({each.group for each in some} for some in (texts, pictures))
    assert of_texts != of_pictures
    assert {each.length for each in [*texts, *pictures]} == {0}  # nothing is filled up
    assert {(each.tokens, each.patches, each.nbytes) for each in pictures} == {(0, 16, 3 * 64 * 64)}
    assert model.media_bytes == 3 * 64 * 64
    assert all(each.tokens > 0 and each.patches == 0 for each in texts)


def test_control_tokens_in_a_text_are_only_text(clip: Path) -> None:
    model, theirs = load(clip), reference(clip)
    written = "a red<|endoftext|> bicycle <|StartOfText|> leans"
    broken = "a red< |endoftext|> bicycle < |StartOfText|> leans"
    (ours,) = unit(model.forward([prepared(model, written)]))
    np.testing.assert_allclose(ours, theirs.encode([broken], normalize_embeddings=True)[0], atol=1e-5, rtol=0)


def test_an_instruction_stands_before_a_text_and_changes_no_picture(clip: Path) -> None:
    model, theirs = load(clip), reference(clip)
    told = [model.prepare([model.patched(each)], Task.QUERY, "Find: ") for each in ("red", picture(90, 60))]
    text, shown = (unit(model.forward([each])[0]) for each in told)
    np.testing.assert_allclose(text, theirs.encode(["red"], prompt="Find: ", normalize_embeddings=True)[0], atol=1e-5)
    np.testing.assert_allclose(shown, theirs.encode([picture(90, 60)], normalize_embeddings=True)[0], atol=1e-5)


def test_older_configurations_that_number_the_end_token_wrong_are_read_alike(clip: Path) -> None:
    config = json.loads((clip / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2
    (clip / "config.json").write_text(json.dumps(config))
    model, theirs = load(clip), reference(clip)
    assert model.info.tier == "clip"
    vectors = unit(model.forward([prepared(model, text) for text in TEXTS]))
    np.testing.assert_allclose(vectors, theirs.encode(TEXTS, normalize_embeddings=True), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "processor",
    [
        CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}),
        CLIPImageProcessor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}, resample=2),
        CLIPImageProcessor(size={"shortest_edge": 48}, crop_size={"height": 64, "width": 64}),
        SiglipImageProcessor(size={"height": 64, "width": 64}),
        SiglipImageProcessor(size={"height": 64, "width": 64}, resample=2, rescale_factor=1 / 127.5),
    ],
    ids=["clip", "clip, cut smaller", "clip, filled up", "siglip", "siglip, other scale"],
)
def test_pixels_are_those_of_the_processor_bit_for_bit(processor: Any) -> None:
    crops = Crops(processor, side=64, patch=16)
    for size in [*SIZES, *itertools.product((63, 127, 640), (64, 129, 480))]:
        patches = crops.patches(picture(*size))
        assert (patches.grid, patches.pixels.dtype) == ((1, 4, 4), torch.uint8)
        ours = crops.on_device([patches], torch.device("cpu"), torch.float32)[0]
        whole = ours.unflatten(0, (4, 4)).unflatten(2, (3, 16, 16)).permute(2, 0, 3, 1, 4).reshape(3, 64, 64)
        expected = processor(images=[picture(*size)], return_tensors="pt")["pixel_values"][0]
        assert torch.equal(whole, expected), size


def test_a_picture_too_narrow_is_refused_before_it_is_made_millions_of_pixels_long(clip: Path) -> None:
    model = load(clip)
    with pytest.raises(InvalidInput, match="200 times"):
        model.patched(Pillow.new("RGB", (2010, 10)))
    assert model.patched(Pillow.new("RGB", (2000, 10)))


def test_a_text_that_the_tokenizer_cannot_read_is_refused(clip: Path) -> None:
    with pytest.raises(InvalidInput):
        prepared(load(clip), "lone \ud800")


def test_a_layer_after_the_towers_is_computed(clip: Path, tmp_path: Path) -> None:
    model = reference(clip)
    model[1] = Dense(towers.CLIP_WIDTH, 8)
    model.save_pretrained(str(tmp_path / "dense"))
    ours = load(tmp_path / "dense")
    assert ours.info.tier == "clip"
    (vector,) = ours.forward([prepared(ours, "a red bicycle")])
    np.testing.assert_allclose(vector, model.encode(["a red bicycle"])[0], atol=1e-5, rtol=0)


def test_bfloat16_stays_close_to_float32(directory: Path) -> None:
    rough, exact = load(directory, "bfloat16"), load(directory)
    assert rough.info.tier == "clip"
    for content in ("a red bicycle", picture(90, 60)):
        ours, expected = (unit(model.forward([prepared(model, content)])[0]) for model in (rough, exact))
        assert float(ours @ expected) >= 0.9995


@pytest.mark.parametrize("kind", ["texts", "pictures"])
@pytest.mark.parametrize("off", [1e-3, float("nan")])
def test_a_way_that_answers_differently_is_not_taken(
    clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, off: float
) -> None:
    forward = DualEncoder.forward

    def wrong(self: DualEncoder, batch: Sequence[Prepared]) -> torch.Tensor:
        answers = forward(self, batch)
        if bool(batch[0].patches) == (kind == "pictures"):
            answers[-1, 0] += off * answers[-1].norm()
        return answers

    monkeypatch.setattr(DualEncoder, "forward", wrong)
    model = load(clip)
    assert (model.info.tier, model.info.refused_tiers) == ("standard", ("clip",))
    assert "failed its proof" in caplog.text


def test_texts_cut_a_token_too_early_are_noticed(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init = DualEncoder.__init__
    monkeypatch.setattr(DualEncoder, "__init__", lambda self, model, max_tokens: init(self, model, max_tokens - 1))
    assert load(clip).info.refused_tiers == ("clip",)


def test_siglip_of_any_picture_size_is_left_to_sentence_transformers(tmp_path: Path) -> None:
    model, theirs = load(towers.naflex(tmp_path)), SentenceTransformer(str(tmp_path), device="cpu")
    assert (model.info.tier, model.info.refused_tiers) == ("standard", ())
    for size in SIZES[:3]:
        ours = unit(model.forward([prepared(model, picture(*size))])[0])
        np.testing.assert_allclose(ours, theirs.encode([picture(*size)], normalize_embeddings=True)[0], atol=1e-5)


def unscaled(model: Any) -> None:
    model[0].processor.image_processor.do_rescale = False


def padded(model: Any) -> None:
    model[0].processor.image_processor.do_pad = True


def uncropped(model: Any) -> None:
    model[0].processor.image_processor.do_center_crop = False


def by_pillow(model: Any) -> None:
    settings = model[0].processor.image_processor.to_dict()
    model[0].processor.image_processor = CLIPImageProcessorPil(**settings)


def with_options(model: Any) -> None:
    model[0].processing_kwargs = {"image": {"do_resize": False}}


def cut_elsewhere(model: Any) -> None:
    model[0].processing_kwargs = {"text": {"truncation": False}}


def without_limit(model: Any) -> None:
    model[0].processing_kwargs = {"text": {"max_length": 78}}


def shorter_queries(model: Any) -> None:
    model[0].query_length = 8


def unpooled(model: Any) -> None:
    model[0].modality_config["image"] = {"method": "forward", "method_output_name": "image_embeds"}


def with_more(model: Any) -> None:
    model.append(Dropout())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unscaled, "leaves out one of"),
        (padded, "pictures are padded"),
        (uncropped, "not cut to 64x64"),
        (by_pillow, "prepared by CLIPImageProcessorPil"),
        (with_options, "options of its processor"),
        (cut_elsewhere, "options of its processor"),
        (without_limit, "longer than it has positions"),
        (shorter_queries, "has a query_length"),
        (unpooled, "not asked for their pooled features"),
        (with_more, "comes Dropout"),
    ],
)
def test_what_is_not_done_here_is_left_to_sentence_transformers(
    clip: Path, change: Callable[[Any], None], reason: str
) -> None:
    model = reference(clip)
    change(model)
    with pytest.raises(NotApplicable, match=reason):
        DualEncoder(model, 77)


def unfilled(model: Any) -> None:
    model[0].processing_kwargs = {}


def masked(model: Any) -> None:
    model[0].tokenizer.model_input_names = ["input_ids", "attention_mask"]


def headless(model: Any) -> None:
    model[0].model.vision_model.use_head = False


@pytest.mark.parametrize(("change", "reason"), [(unfilled, "filled up"), (masked, "not seen"), (headless, "not pool")])
def test_what_siglip_may_do_otherwise_is_left_to_sentence_transformers(
    tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    model = reference(towers.siglip2(tmp_path / "siglip"))
    change(model)
    with pytest.raises(NotApplicable, match=reason):
        DualEncoder(model, 24)


def test_the_first_siglip_has_a_tokenizer_without_rust(tmp_path: Path) -> None:
    assert untruncated(reference(towers.siglip(tmp_path)).tokenizer) is None
