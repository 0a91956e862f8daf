"""Every kind of model in the table is read as Sentence Transformers reads it: stand-ins with random weights.

The reference is plain Sentence Transformers on the same directory, one input at a time; Prism gets all of them at once.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sentence_transformers import CrossEncoder, SentenceTransformer

from engines import running
from parity.test_models import content
from stand_ins import EMBEDDERS, RERANKERS, StandIn, trusted
from weaviate_prism.models import table
from weaviate_prism.models.facts import Entry
from weaviate_prism.values import Image, Item, Modality, Part, Priority, Task, Text, Video

# transformers leaves them open (processing_utils.py, additional templates).
pytestmark = pytest.mark.filterwarnings(r"ignore:unclosed file .*reranker\.jinja:ResourceWarning")

TOLERANCE = 1e-5
TEXTS = [Text("a red bicycle"), Text(""), Text("Quarterly REVENUE rose " * 5)]


def test_every_row_that_claims_a_stand_in_has_one() -> None:
    for stand_ins, kind in ((EMBEDDERS, "embedder"), (RERANKERS, "reranker")):
        covered = tuple(name for stand_in in stand_ins.values() for name in stand_in.models)
        claimed = [row for row in table.ENTRIES if row.kind == kind]
        assert claimed
        assert not [row.name for row in claimed if not row.name.startswith(covered)]


def embedders_like(kind: str) -> list[Entry]:
    """The rows that a stand-in is for; where the names of two begin a row's name, it is the longer one's."""

    def stand_in(row: Entry) -> str:
        known = {name: kind for kind, each in EMBEDDERS.items() for name in each.models if row.name.startswith(name)}
        return known[max(known, key=len)] if known else ""

    return [row for row in table.ENTRIES if stand_in(row) == kind]


def picture(width: int, height: int) -> Image:
    pixels = np.random.default_rng(5).integers(0, 255, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    return Image(file.getvalue())


PICTURES = [picture(120, 80), picture(60, 90)]


def together(parts: tuple[Part, ...]) -> tuple[Any, dict[str, Any]]:
    """Parts as Sentence Transformers takes them, and the processor options that their clips need."""
    if all(isinstance(part, Text) for part in parts):
        return " ".join(part.text for part in parts if isinstance(part, Text)), {}
    blocks, options = content(parts)
    if any(isinstance(part, Video) for part in parts):
        return [{"role": "user", "content": blocks}], options
    return {block["type"]: block[block["type"]] for block in blocks}, options


class Reference:
    """Plain Sentence Transformers on an embedder's directory."""

    def __init__(self, directory: Path) -> None:
        options: dict[str, Any] = {"device": "cpu", "trust_remote_code": True, "model_kwargs": {"dtype": "float32"}}
        self.texts = self.pictures = SentenceTransformer(str(directory), **options)
        if "multilingual" in directory.name:
            self.pictures = SentenceTransformer(str(directory.parent / "clip-ViT-B-32"), **options)
        if "siglip" in type(self.texts.transformers_model).__name__.lower():
            length = self.texts.transformers_model.config.text_config.max_position_embeddings
            self.texts[0].processing_kwargs["text"] = {"padding": "max_length", "max_length": length}

    def vector(self, parts: tuple[Part, ...], task: Task) -> Any:
        model = self.texts if isinstance(parts[0], Text) else self.pictures
        encode = model.encode_query if task is Task.QUERY else model.encode_document
        item, options = together(parts)
        return encode([item], normalize_embeddings=True, processing_kwargs=options)[0]


@pytest.mark.parametrize("kind", EMBEDDERS)
async def test_vectors_equal_sentence_transformers(kind: str, made: Callable[[StandIn], Path], clip: Video) -> None:
    directory = made(EMBEDDERS[kind])
    reference = Reference(directory)
    async with running(embedder=str(directory), reranker="none", **trusted(directory)) as engine:
        (info,) = engine.info().models
        parts: list[tuple[Part, ...]] = [(text,) for text in TEXTS]
        if Modality.IMAGE in info.modalities:
            parts += [(each,) for each in PICTURES]
        if "message" in reference.texts.modalities:
            parts += [(TEXTS[0], PICTURES[0])]
        if Modality.VIDEO in info.modalities:
            parts += [(clip,), (TEXTS[0], clip, PICTURES[0])]
        for task in Task:
            (ours,) = await engine.vectorize(
                [Item(each) for each in parts], task=task, priority=Priority.BULK, deadline=time.monotonic() + 60
            )
            expected = [reference.vector(each, task) for each in parts]
            np.testing.assert_allclose(np.stack(list(ours)), expected, atol=TOLERANCE, rtol=0)  # type: ignore[arg-type]
    rows = embedders_like(kind)
    assert {row.tier for row in rows} == {info.tier}
    assert {frozenset(filter(row.reads, Modality)) for row in rows} == {info.modalities}


@pytest.mark.parametrize("kind", RERANKERS)
async def test_scores_equal_sentence_transformers(kind: str, made: Callable[[StandIn], Path]) -> None:
    directory = made(RERANKERS[kind])
    reference = CrossEncoder(str(directory), device="cpu", trust_remote_code=True, model_kwargs={"dtype": "float32"})
    documents: list[tuple[Part, ...]] = [(text,) for text in TEXTS]
    if "image" in reference.modalities:
        documents += [(PICTURES[0],), (PICTURES[1],), (TEXTS[0], PICTURES[0])]
    expected = [reference.predict([("red", together(each)[0])])[0] for each in documents]
    async with running(embedder="none", reranker=str(directory), **trusted(directory)) as engine:
        (info,) = engine.info().models
        items = [Item(each) for each in documents]
        ours = np.array(await engine.rerank(Item((Text("red"),)), items, deadline=time.monotonic() + 60), dtype=float)
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=0)
    assert len({round(float(score), 7) for score in ours}) == len(documents)
    assert {row.tier for row in table.ENTRIES if row.name.startswith(RERANKERS[kind].models)} == {info.tier}
