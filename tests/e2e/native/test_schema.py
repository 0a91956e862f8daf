"""Configs that make no sense are refused when the collection is made, naming the key and the property."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from servers import Stack

PROPERTIES = [
    {"name": "title", "dataType": ["text"]},
    {"name": "tags", "dataType": ["text[]"]},
    {"name": "pages", "dataType": ["int"]},
    {"name": "picture", "dataType": ["blob"]},
    {"name": "clip", "dataType": ["blob"]},
    {"name": "skipped", "dataType": ["text"], "moduleConfig": {"multi2vec-prism": {"skip": True}}},
]

# The config of a vector, and what the refusal must name.
VECTORS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no fields": ({}, ["textFields", "imageFields", "videoFields"]),
    "empty fields": ({"textFields": []}, ["textFields"]),
    "unknown key": ({"textFields": ["title"], "imagefields": ["picture"]}, ["imagefields"]),
    "not a list": ({"textFields": "title"}, ["textFields", "list"]),
    "not a name": ({"textFields": [7]}, ["textFields"]),
    "unknown property": ({"textFields": ["titel"]}, ["textFields", "titel"]),
    "number as text": ({"textFields": ["pages"]}, ["textFields", "pages", "int", "text"]),
    "text as picture": ({"imageFields": ["title"]}, ["imageFields", "title", "text", "blob"]),
    "picture as text": ({"textFields": ["picture"]}, ["textFields", "picture", "blob", "text"]),
    "listed twice": ({"imageFields": ["clip"], "videoFields": ["clip"]}, ["videoFields", "clip", "twice"]),
    "skipped property": ({"textFields": ["skipped"]}, ["textFields", "skipped", "skip"]),
    "source properties": ({"textFields": ["title"], "properties": ["title"]}, ["properties", "textFields"]),
    "weights of a joint vector": ({"textFields": ["title"], "weights": {"textFields": [1]}}, ["weights", "mean"]),
    "too few weights": (
        {"textFields": ["title", "tags"], "fusion": "mean", "weights": {"textFields": [1]}},
        ["weights.textFields", "2"],
    ),
    "weights of no fields": (
        {"textFields": ["title"], "fusion": "mean", "weights": {"textFields": [1], "imageFields": [1]}},
        ["weights.imageFields"],
    ),
    "negative weight": (
        {"textFields": ["title"], "fusion": "mean", "weights": {"textFields": [-1]}},
        ["weights.textFields", "-1"],
    ),
    "weights of 0": ({"textFields": ["title"], "fusion": "mean", "weights": {"textFields": [0]}}, ["weights"]),
    "no dimensions": ({"textFields": ["title"], "dimensions": 0}, ["dimensions", "0"]),
    "part of a dimension": ({"textFields": ["title"], "dimensions": 1.5}, ["dimensions", "1.5"]),
    "unknown fusion": ({"textFields": ["title"], "fusion": "sum"}, ["fusion", "sum", "joint", "mean"]),
    "instruction of another type": ({"textFields": ["title"], "instruction": 7}, ["instruction", "7"]),
    "model of another type": ({"textFields": ["title"], "model": ["fake"]}, ["model"]),
    "truth of another type": ({"textFields": ["title"], "requireVector": "yes"}, ["requireVector", "yes"]),
}

RERANKERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown key": ({"fields": ["title"]}, ["fields"]),
    "key of a vector": ({"textFields": ["title"], "dimensions": 8}, ["dimensions"]),
    "unknown property": ({"textFields": ["titel"]}, ["textFields", "titel"]),
    "text as picture": ({"imageFields": ["title"]}, ["imageFields", "title", "text", "blob"]),
    "not a list": ({"videoFields": "clip"}, ["videoFields", "list"]),
}


def create(stack: Stack, vector: dict[str, Any], reranker: dict[str, Any], name: str = "Refused") -> httpx.Response:
    body = {
        "class": name,
        "properties": PROPERTIES,
        "vectorConfig": {"looks": {"vectorizer": {"multi2vec-prism": vector}, "vectorIndexType": "hnsw"}},
        "moduleConfig": {"reranker-prism": reranker},
    }
    return httpx.post(f"{stack.weaviate.url}/v1/schema", json=body, timeout=30)


def assert_refused(stack: Stack, answer: httpx.Response, module: str, named: list[str]) -> None:
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["error"]
    message = error["message"]
    assert module in message
    assert [word for word in named if word not in message] == [], message
    assert not stack.client.collections.exists("Refused")


@pytest.mark.parametrize("case", VECTORS)
def test_vector_config_is_refused_by_key_and_property(fake: Stack, case: str) -> None:
    config, named = VECTORS[case]
    assert_refused(fake, create(fake, config, {}), "multi2vec-prism", named)


@pytest.mark.parametrize("case", RERANKERS)
def test_reranker_config_is_refused_by_key_and_property(fake: Stack, case: str) -> None:
    config, named = RERANKERS[case]
    assert_refused(fake, create(fake, {"textFields": ["title"]}, config), "reranker-prism", named)


def test_every_key_together_is_taken(fake: Stack) -> None:
    vector = {
        "textFields": ["title", "tags"],
        "imageFields": ["picture"],
        "videoFields": ["clip"],
        "weights": {"textFields": [2, 1], "imageFields": [1], "videoFields": [0]},
        "model": "fake",
        "dimensions": 8,
        "instruction": "Represent this.",
        "queryInstruction": "Find this.",
        "fusion": "mean",
        "requireVector": True,
        "vectorizeClassName": False,
    }
    fields = {name: vector[name] for name in ("textFields", "imageFields", "videoFields")}
    answer = create(fake, vector, {**fields, "model": "fake", "instruction": "Rank this."}, name="Taken")
    assert answer.status_code == 200, answer.text
    told = fake.client.collections.get("Taken").config.get().to_dict()
    assert told["vectorConfig"]["looks"]["vectorizer"]["multi2vec-prism"]["weights"] == vector["weights"]


def test_model_that_serves_when_a_collection_is_made_is_written_into_its_config(fake: Stack) -> None:
    """So that a Prism with another model is refused by name instead of mixing vectors."""
    assert create(fake, {"textFields": ["title"]}, {}, name="Pinned").status_code == 200
    told = httpx.get(f"{fake.weaviate.url}/v1/schema/Pinned").json()
    assert told["vectorConfig"]["looks"]["vectorizer"]["multi2vec-prism"]["model"] == "fake"
