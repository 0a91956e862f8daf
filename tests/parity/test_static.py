"""Embedders whose tokens have the same vector everywhere (model2vec): without padding, and with a limit after all."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from tiny import texts
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput
from weaviate_prism.models import embedder, loading, precision
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

TEXTS = ["a red bicycle", "quarterly revenue rose " * 300, "\N{SNOWMAN} wall", "leans", "/etc/passwd https"]


def load(directory: Path) -> SentenceEmbedder:
    return embedder.load(ModelSpec("embedder", str(directory), dtype="float32"), Settings(device="cpu"))


def unit(vectors: Any) -> Any:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("instruction", ["", "Find it: "])
def test_vectors_equal_sentence_transformers_alone_and_in_any_batch(
    tmp_path: Path, task: Task, instruction: str
) -> None:
    directory = texts.static_embedder(tmp_path)
    model, theirs = load(directory), SentenceTransformer(str(directory), device="cpu")
    assert (model.info.tier, model.info.refused_tiers) == ("standard", ())
    encode = theirs.encode_query if task is Task.QUERY else theirs.encode_document
    expected = [encode([text], prompt=instruction or None)[0] for text in TEXTS]
    inputs = [model.prepare([text], task, instruction) for text in TEXTS]
    assert len({each.group for each in inputs}) == 1
    assert {each.length for each in inputs} == {0}  # nothing is filled up
    order = list(range(len(TEXTS)))
    for places in [*([place] for place in order), order, random.Random(1).sample(order, len(order))]:
        vectors = unit(model.forward([inputs[place] for place in places]))
        np.testing.assert_allclose(vectors, [expected[place] for place in places], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("own", "limit"), [(None, loading.MAX_TOKENS), (5, 5), (9999, loading.MAX_TOKENS)])
def test_texts_are_cut_at_the_limit_of_their_tokenizer_or_at_ours(tmp_path: Path, own: int | None, limit: int) -> None:
    directory = texts.static_embedder(tmp_path)
    file = str(next(directory.rglob("tokenizer.json")))
    tokenizer = Tokenizer.from_file(file)
    if own:
        tokenizer.enable_truncation(own)
        tokenizer.save(file)
    model = load(directory)
    assert model.info.max_tokens == limit
    for length in (limit, limit + 1):
        prepared = model.prepare(["red " * length], Task.DOCUMENT, "")
        assert (prepared.tokens, len(prepared.features["input_ids"])) == (limit, limit)


def test_an_instruction_leaves_room_for_its_text(tmp_path: Path) -> None:
    model = load(texts.static_embedder(tmp_path))
    told, other = (model.prepare([text], Task.DOCUMENT, "red " * 9999) for text in ("wall", "revenue"))
    assert told.tokens == loading.MAX_TOKENS // 4 + 1
    assert told.features["input_ids"][-1] != other.features["input_ids"][-1]


def test_a_text_without_tokens_is_refused_by_name(tmp_path: Path) -> None:
    model = load(texts.static_embedder(tmp_path))
    with pytest.raises(InvalidInput, match="no token"):
        model.prepare([""], Task.DOCUMENT, "")


def test_it_is_computed_and_proved_in_the_precision_that_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "is_fast", lambda *_: True)
    directory = str(texts.static_embedder(tmp_path))
    for dtype in ("auto", "bfloat16", "float32"):
        model = embedder.load(ModelSpec("embedder", directory, dtype=dtype), Settings(device="cpu"))
        weights = {str(each.dtype) for each in model.model.parameters()}
        assert weights == {f"torch.{model.info.dtype}"}
    assert "nan" not in caplog.text


def test_control_tokens_of_a_text_are_broken(tmp_path: Path) -> None:
    model = load(texts.static_embedder(tmp_path))
    bare, spaced = (model.prepare([text], Task.DOCUMENT, "") for text in ("[PAD] red", "[ PAD] red"))
    assert bare.features["input_ids"].tolist() == spaced.features["input_ids"].tolist()
