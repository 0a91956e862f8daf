"""A few things to rerank. The fake model scores the share of the query's words, or pictures, that a document has."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from weaviate.classes.config import DataType, Property

from contract.samples import clip
from objects import AnyCollection, b64, jpeg, prism_reranker, prism_vector
from servers import Content, Prism, Stack

# By title; the words of tags, the colours of pictures, and who has a clip.
THINGS: Mapping[str, tuple[list[str], str, bool]] = {
    "red ship": (["sea"], "red", False),
    "red car": (["road", "four wheels"], "blue", False),
    "green tree": ([], "green", False),
    "ship": (["red sail"], "yellow", True),
}
IDS = {title: str(uuid.uuid5(uuid.NAMESPACE_URL, title)) for title in THINGS}
FIELDS = {"textFields": ["title", "tags"], "imageFields": ["picture"], "videoFields": ["clip"]}
LOWEST = -3.4028234663852886e38
"""The lowest float32, the score of what has nothing to score."""

PROPERTIES = [
    Property(name="title", data_type=DataType.TEXT),
    Property(name="tags", data_type=DataType.TEXT_ARRAY),
    Property(name="picture", data_type=DataType.BLOB),
    Property(name="clip", data_type=DataType.BLOB),
    Property(name="kind", data_type=DataType.TEXT),
]


def fill(collection: AnyCollection) -> AnyCollection:
    for title, (tags, colour, filmed) in THINGS.items():
        values: dict[str, Any] = {"title": title, "tags": tags, "picture": b64(jpeg(colour)), "kind": "thing"}
        collection.data.insert({**values, "clip": b64(clip())} if filmed else values, uuid=IDS[title])
    return collection


def shelf(stack: Stack, name: str, reranker: Mapping[str, Any] = FIELDS) -> AnyCollection:
    """A collection with all things in it, found by their titles."""
    created = stack.client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=prism_vector(textFields=["title"]),
        reranker_config=prism_reranker(**reranker),
    )
    return fill(created)


def document(title: str, fields: Iterable[str]) -> list[Content]:
    """The parts of a thing."""
    tags, colour, filmed = THINGS[title]
    parts: dict[str, list[Content]] = {
        "title": [title],
        "tags": [*tags],
        "picture": [jpeg(colour)],
        "clip": [clip()] if filmed else [],
    }
    return [part for field in fields for part in parts[field]]


def scored(objects: Iterable[Any]) -> dict[str, float]:
    """Scores by id, in the order of gRPC's answer."""
    return {str(each.uuid): each.metadata.rerank_score for each in objects}


def assert_ranked(
    prism: Prism,
    answer: Mapping[str, float],
    query: list[Content],
    fields: Iterable[str] = ("title", "tags", "picture", "clip"),
) -> None:
    """All things are there, best first, with the scores that Prism itself gives their fields; lowest without any."""
    fields = list(fields)
    titles = {uuid: title for title, uuid in IDS.items()}
    assert answer.keys() == titles.keys()
    documents = [document(titles[uuid], fields) for uuid in answer]
    given = iter(prism.scores(query, [each for each in documents if each]))
    scores = [next(given) if each else LOWEST for each in documents]
    assert list(answer.values()) == pytest.approx(scores, abs=1e-6)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]
