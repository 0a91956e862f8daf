"""The Python client against Sentence Transformers on the same weights: within 1e-5, through a real service.

What both take is passed to both as it is; clips are messages for Sentence Transformers, and files for the client.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from sentence_transformers import CrossEncoder, SentenceTransformer

from contract.running import InProcess
from parity.test_models import PAIRS, PICTURES, TEXTS, close, content
from weaviate_prism import bundled
from weaviate_prism.client import Input, PrismClient
from weaviate_prism.values import Image, Part, Text, Video

OPENED = [Pillow.open(io.BytesIO(each.data)) for each in PICTURES]
WORDS = ["three small red circles", "a line chart that rises, " * 9]
# What `SentenceTransformer` and the client both take, several parts in either order.
MIXED: list[Any] = [
    *WORDS,
    *OPENED,
    {"text": WORDS[0], "image": OPENED[0]},
    {"image": OPENED[1], "text": WORDS[1]},
]


@pytest.fixture(scope="module")
def prism() -> Iterator[PrismClient]:
    models = {"embedder": "scenes-embedder", "reranker": "scenes-reranker"}
    with (
        InProcess(**models, device="cpu", dtype="float32", cache_bytes=0) as running,
        PrismClient(running.grpc_address) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformer:
    return SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})


@pytest.fixture(scope="module")
def reranker() -> CrossEncoder:
    return CrossEncoder(str(bundled.RERANKER_DIR), device="cpu", model_kwargs={"dtype": torch.float32})


@pytest.mark.parametrize("verb", ["encode_query", "encode_document"])
@pytest.mark.parametrize("prompt", [None, "Find shapes."])
def test_the_same_list_gets_the_same_vectors(
    prism: PrismClient, embedder: SentenceTransformer, verb: str, prompt: str | None
) -> None:
    ours = getattr(prism, verb)(MIXED, prompt=prompt)
    assert ours.shape == (len(MIXED), embedder.get_embedding_dimension())
    for vector, one in zip(ours, MIXED, strict=True):
        close(vector, getattr(embedder, verb)([one], prompt=prompt, normalize_embeddings=True)[0])
    cut = getattr(prism, verb)(WORDS[0], dimensions=32, prompt=prompt)
    close(cut, getattr(embedder, verb)(WORDS[0], prompt=prompt, truncate_dim=32, normalize_embeddings=True))


@pytest.mark.parametrize("verb", ["encode_query", "encode_document"])
def test_clips_and_arrays_and_messages_get_the_same_vectors(
    prism: PrismClient, embedder: SentenceTransformer, clip: Video, verb: str, tmp_path: Path
) -> None:
    messages: list[Sequence[Part]] = [
        (clip,),
        (TEXTS[0], clip),
        (PICTURES[1], TEXTS[2], clip),
        (TEXTS[1],),
        (TEXTS[3],),
    ]
    given = [inputs_of(parts, tmp_path) for parts in messages]
    ours = getattr(prism, verb)(given)
    for vector, parts in zip(ours, messages, strict=True):
        blocks, options = content(parts)
        message = [{"role": "user", "content": blocks}]
        close(vector, getattr(embedder, verb)([message], normalize_embeddings=True, processing_kwargs=options)[0])
    array = np.asarray(OPENED[1])
    close(getattr(prism, verb)(array), getattr(embedder, verb)([OPENED[1]], normalize_embeddings=True)[0])


@pytest.mark.parametrize("prompt", [None, "Judge whether both show the same."])
def test_the_same_pairs_get_the_same_scores(prism: PrismClient, reranker: CrossEncoder, prompt: str | None) -> None:
    pairs: list[Any] = [(query, document) for query in (MIXED[0], MIXED[2], MIXED[5]) for document in MIXED]
    ours = prism.predict(pairs, prompt=prompt)
    for score, pair in zip(ours, pairs, strict=True):
        close(score, reranker.predict([pair], prompt=prompt)[0])
    close(prism.predict((WORDS[0], WORDS[1])), reranker.predict((WORDS[0], WORDS[1])))


def test_clips_and_messages_get_the_same_scores(
    prism: PrismClient, reranker: CrossEncoder, clip: Video, tmp_path: Path
) -> None:
    pairs = [*PAIRS, ((TEXTS[0],), (clip,)), ((clip,), (PICTURES[0], TEXTS[0]))]
    ours = prism.predict([(inputs_of(query, tmp_path), inputs_of(document, tmp_path)) for query, document in pairs])
    for score, (query, document) in zip(ours, pairs, strict=True):
        (asked, query_options), (told, options) = content(query), content(document)
        message = [{"role": "query", "content": asked}, {"role": "document", "content": told}]
        close(score, reranker.predict([message], processing_kwargs=query_options or options)[0])


@pytest.mark.parametrize("query", MIXED[:4])
def test_rankings_are_the_same(prism: PrismClient, reranker: CrossEncoder, query: Any) -> None:
    ours = prism.rank(query, MIXED, top_k=4, return_documents=True)
    reference = reranker.rank(query, MIXED, top_k=4, return_documents=True)
    assert [each["corpus_id"] for each in ours] == [each["corpus_id"] for each in reference]
    assert [each["text"] for each in ours] == [each["text"] for each in reference]
    close([each["score"] for each in ours], [each["score"] for each in reference])


def test_the_same_inputs_are_supported(
    prism: PrismClient, embedder: SentenceTransformer, reranker: CrossEncoder
) -> None:
    ours = {model.kind: model for model in prism.info().models}
    for model, reference in ((ours["embedder"], embedder), (ours["reranker"], reranker)):
        assert set(model.modalities) == set(reference.modalities)
        for asked in ("text", "image", "video", "audio", "message", ("text", "image"), ("image", "audio")):
            assert model.supports(asked) == reference.supports(asked)


def inputs_of(parts: Sequence[Part], folder: Path) -> Input:
    """The same as the client takes it: clips as files, pictures as their bytes."""
    made: list[Any] = []
    for part in parts:
        if isinstance(part, Text):
            made.append(part.text)
        elif isinstance(part, Image):
            made.append(part.data)
        elif isinstance(part, Video):
            file = folder / "clip.mp4"
            file.write_bytes(part.data)
            made.append(file)
    return tuple(made) if len(made) > 1 else made[0]
