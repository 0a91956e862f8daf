"""What clients write is cut so that there is room for what comes beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sentence_transformers import SentenceTransformer

from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.models import embedder, reranker
from weaviate_prism.models.messages import Messages
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

LIMIT = 200
SETTINGS = Settings(device="cpu")
PICTURE = Pillow.new("RGB", (64, 64), "red")
LONG = "three small red circles " * 20


@pytest.fixture(scope="module")
def messages() -> Messages:
    return Messages(SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu"), LIMIT)


def shorter(directory: Path, folder: Path) -> Path:
    """A copy that reads `LIMIT` tokens."""
    copied = Path(shutil.copytree(directory, folder / directory.name))
    file = copied / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": LIMIT}))
    return copied


def length(messages: Messages, text: Any) -> int:
    return len(messages._tokenizer.encode(text, add_special_tokens=False).ids)


def test_texts_share_the_room_in_their_order(messages: Messages) -> None:
    whole = length(messages, LONG)
    assert messages.capped([LONG, PICTURE, LONG], 2 * whole) == [LONG, PICTURE, LONG]
    first, shown, last = messages.capped([LONG, PICTURE, LONG], whole + 10)
    assert (first, shown) == (LONG, PICTURE)
    assert length(messages, last) == 10
    assert messages.capped([LONG, LONG], whole) == [LONG, ""]
    assert messages.capped([LONG, LONG], 0) == ["", ""]


def test_a_query_of_several_texts_leaves_room_for_the_document(tmp_path: Path) -> None:
    directory = shorter(bundled.RERANKER_DIR, tmp_path)
    model = reranker.load(ModelSpec("reranker", str(directory), dtype="float32"), SETTINGS)
    asked = model.asked([LONG, LONG, LONG], "")
    scores = model.forward([model.prepare(asked, [document]) for document in ("three red circles", "a line chart")])
    assert scores[0] != scores[1]


def test_texts_beside_a_picture_leave_room_for_it(tmp_path: Path) -> None:
    directory = shorter(bundled.EMBEDDER_DIR, tmp_path)
    model = embedder.load(ModelSpec("embedder", str(directory), dtype="float32"), SETTINGS)
    read = [model.patched(Pillow.new("RGB", (64, 64), colour)) for colour in ("red", "blue")]
    red, blue = model.forward([model.prepare([LONG, LONG, LONG, each], Task.DOCUMENT, "") for each in read])
    assert not np.allclose(red, blue)


def test_documents_of_several_texts_and_a_picture_are_scored_by_it(tmp_path: Path) -> None:
    directory = shorter(bundled.RERANKER_DIR, tmp_path)
    model = reranker.load(ModelSpec("reranker", str(directory), dtype="float32"), SETTINGS)
    asked = model.asked([LONG, LONG], "")
    read = [model.patched(Pillow.new("RGB", (64, 64), colour)) for colour in ("red", "blue")]
    red, blue = model.forward([model.prepare(asked, [LONG, LONG, LONG, each]) for each in read])
    assert red != blue
