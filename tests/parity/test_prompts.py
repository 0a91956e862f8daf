"""Prompts of models without messages are put before a text, and are texts themselves, whatever they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from tiers import loaded_the_standard_way
from tiny import texts, towers
from weaviate_prism.config import Settings
from weaviate_prism.models import embedder, standard
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

# All that opens what a string names, for processors of pictures.
OPENING = (
    "httpx.get",
    "transformers.image_processing_base.load_image",
    "transformers.image_processing_backends.load_image_as_tensor",
)


def load(directory: Path) -> SentenceEmbedder:
    with loaded_the_standard_way():
        return embedder.load(ModelSpec("embedder", str(directory), dtype="float32"), Settings(device="cpu"))


def unit(model: SentenceEmbedder, text: str, instruction: str) -> Any:
    (vector,) = model.forward([model.prepare([text], Task.QUERY, instruction)])
    return vector / np.linalg.norm(vector)


def routed(folder: Path) -> Path:
    """CLIP behind a router, which hands inputs on to it."""
    router = Router({"query": list(SentenceTransformer(str(towers.clip(folder)), device="cpu"))})
    SentenceTransformer(modules=[router], device="cpu").save_pretrained(str(folder / "routed"))
    return folder / "routed"


@pytest.fixture
def nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(name: str, *_: object, **__: object) -> None:
        raise AssertionError(f"{name} was opened")

    for each in OPENING:
        monkeypatch.setattr(each, opened)


@pytest.mark.usefixtures("nothing_opens")
@pytest.mark.parametrize("make", [towers.clip, routed])
def test_an_instruction_that_names_a_picture_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    Pillow.new("RGB", (64, 64)).save("a.png")
    directory = make(tmp_path)
    model, theirs = load(directory), SentenceTransformer(str(directory), device="cpu")
    for instruction in ("http://a/b.png", "a.png", "data:image/png,A"):
        expected = theirs.encode([{"text": f"{instruction}a red bicycle"}], normalize_embeddings=True)[0]
        np.testing.assert_allclose(unit(model, "a red bicycle", instruction), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("include", [True, False])
def test_a_pooling_leaves_out_as_many_tokens_of_a_prompt_as_by_sentence_transformers(
    tmp_path: Path, include: bool
) -> None:
    directory = texts.text_embedder(tmp_path)
    theirs = SentenceTransformer(str(directory), device="cpu")
    theirs[1].include_prompt = include
    theirs.save_pretrained(str(directory))
    model = load(directory)
    for instruction in ("", "red: ", "Find quarterly revenue. "):
        expected = theirs.encode_query(["a brick wall"], prompt=instruction or None)[0]
        np.testing.assert_allclose(unit(model, "a brick wall", instruction), expected, atol=1e-5, rtol=0)


def test_prompts_are_not_remembered_for_ever(tmp_path: Path) -> None:
    model = load(towers.clip(tmp_path))
    for number in range(standard.KNOWN_PROMPTS + 9):
        model.prepare(["a red bicycle"], Task.QUERY, f"{number}: ")
    tier: Any = model._tier
    module = tier._own_module()
    assert module._get_prompt_length.cache_info().currsize == standard.KNOWN_PROMPTS
    assert not module._prompt_length_mapping


def test_a_thread_measures_prompts_with_its_own_tokenizer(tmp_path: Path) -> None:
    model = load(towers.clip(tmp_path))
    model.prepare(["a red bicycle"], Task.QUERY, "")
    model.model[0].processor = None  # which other threads would be using
    model.prepare(["a red bicycle"], Task.QUERY, "Find: ")
