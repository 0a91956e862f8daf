"""The ways in which objects come into Weaviate, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import httpx

from objects import BATCHES, AnyCollection, Batch, failures
from servers import Stack

Objects: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Properties by the object's id."""

Path: TypeAlias = Callable[[Stack, AnyCollection, Objects], dict[str, str]]
"""Sends objects and returns the reasons of those that failed, by id."""

FIXED_SIZE = 50


def rest(stack: Stack, collection: AnyCollection, objects: Objects) -> dict[str, str]:
    """All of them in one request to /v1/batch/objects."""
    body = [{"class": collection.name, "id": uuid, "properties": each} for uuid, each in objects.items()]
    answer = httpx.post(f"{stack.weaviate.url}/v1/batch/objects", json={"objects": body}, timeout=120)
    answer.raise_for_status()
    errors = {each["id"]: each["result"].get("errors") for each in answer.json()}
    assert errors.keys() == objects.keys()
    return {uuid: error["error"][0]["message"] for uuid, error in errors.items() if error}


def by_client(batch: Batch) -> Path:
    def send(stack: Stack, collection: AnyCollection, objects: Objects) -> dict[str, str]:
        with batch(collection) as sending:
            for uuid, properties in objects.items():
                sending.add_object(properties, uuid=uuid)
        return failures(collection)

    return send


def fixed_size(collection: AnyCollection) -> Any:
    return collection.batch.fixed_size(batch_size=FIXED_SIZE, concurrent_requests=1)


PATHS: Mapping[str, Path] = {
    "rest": rest,
    "fixed_size": by_client(fixed_size),
    **{name: by_client(batch) for name, batch in BATCHES.items()},
}
