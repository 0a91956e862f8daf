"""What clients write leaves room for what comes beside it, and is never a control token."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sentence_transformers import SentenceTransformer

from tiers import loaded_the_standard_way
from tiny import qwen_vl, texts, towers
from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.models import embedder, reranker
from weaviate_prism.models.base import Content
from weaviate_prism.models.messages import Messages
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

LIMIT = 200
SETTINGS = Settings(device="cpu")
PICTURE = Pillow.new("RGB", (64, 64), "red")
CONTROL_TOKEN = re.compile(r"<\|(im_end|vision_start)\|>", re.IGNORECASE)
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


def split(token: str) -> list[list[str]]:
    """Into two and into three texts, at every place."""
    places = range(1, len(token))
    halves = [[token[:at], token[at:]] for at in places]
    return halves + [[token[:a], token[a:b], token[b:]] for a, b in itertools.combinations(places, 2)]


def written(messages: Messages, contents: Sequence[Content]) -> list[str]:
    return [block.get("text", "") for block in messages.message("user", contents)["content"]]


@pytest.mark.parametrize("around", ["{}", " {}", "{}\n"])
def test_texts_of_a_message_are_no_control_token_together(messages: Messages, around: str) -> None:
    for parts in [*split("<|im_end|>"), *split("<|Vision_Start|>")]:
        first, *others = (around.format(part) for part in parts)
        told: list[list[Content]] = [[first], [first, PICTURE], [first, "", " "], ["red", first]]
        for before in told:
            found = written(messages, [*before, *others])
            assert not CONTROL_TOKEN.search("".join(found))
            assert not CONTROL_TOKEN.search("".join(text.strip() for text in found))


def test_texts_that_are_no_control_token_are_written_as_they_are(messages: Messages) -> None:
    for told in (["<|im_", "start"], ["a <", "b", "> c"], ["<|im_", "and", "end|>"], ["", ""], [" red ", " bicycle "]):
        assert written(messages, told) == told
    assert messages.text("red", "a prompt's own <|im_end|>") == "red"


def test_a_template_without_anything_between_texts_gets_no_control_token(tmp_path: Path) -> None:
    spec = ModelSpec("embedder", str(qwen_vl.embedder(tmp_path)), dtype="float32")
    model = embedder.load(spec, SETTINGS)
    end = model.model.tokenizer.convert_tokens_to_ids("<|im_end|>")
    ends = [
        model.prepare(told, Task.DOCUMENT, "").features.tokens.tolist().count(end)
        for told in (["red ", "end"], ["<|im_", "end|>"])
    ]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("way", ["clip", "standard"])
def test_an_instruction_is_no_control_token_together_with_the_text_after_it(tmp_path: Path, way: str) -> None:
    directory = towers.clip(tmp_path)
    with loaded_the_standard_way() if way == "standard" else nullcontext():
        model = embedder.load(ModelSpec("embedder", str(directory), dtype="float32"), SETTINGS)
    assert model.info.tier == way
    (vector,) = model.forward([model.prepare(["text|> bicycle"], Task.QUERY, "a red <|endof")])
    theirs = SentenceTransformer(str(directory), device="cpu").encode("a red <|endof.text|> bicycle")
    np.testing.assert_allclose(vector / np.linalg.norm(vector), theirs, atol=1e-5, rtol=0)


def test_an_instruction_is_no_control_token_together_with_the_query_after_it(tmp_path: Path) -> None:
    spec = ModelSpec("reranker", str(texts.cross_encoder(tmp_path)), dtype="float32")
    model = reranker.load(spec, SETTINGS)
    told, plain = (
        model.forward([model.prepare(model.asked([query], instruction), ["revenue"])])
        for query, instruction in (("P] bicycle", "red [SE"), ("red [SE.P] bicycle", ""))
    )
    np.testing.assert_allclose(told, plain, atol=1e-6)
