"""Objects come in by every path: none is without a vector unless it is reported as failed, by its own id."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from weaviate.exceptions import UnexpectedStatusCodeError

from e2e.native.paths import FIXED_SIZE, PATHS, by_client
from objects import PROPERTIES, AnyCollection, b64, jpeg, padded_jpeg, prism_vector, vectors
from servers import Stack

BAD_PICTURE = b64(b"not a picture")
# How many calls a batch of 150 makes where Weaviate itself does not divide it by chance.
CALLS = {"rest": 1, "fixed_size": 150 // FIXED_SIZE}


def joint(stack: Stack, name: str) -> AnyCollection:
    """A collection with one vector of title and picture."""
    return stack.client.collections.create(
        name, properties=PROPERTIES, vector_config=prism_vector(textFields=["title"], imageFields=["picture"])
    )


def numbered(count: int, **more: str) -> dict[str, dict[str, Any]]:
    return {str(uuid.uuid4()): {"title": f"number {number}", **more} for number in range(count)}


def calls(stack: Stack) -> float:
    return stack.prism.metric("prism_requests_total", door="grpc Vectorize")


def test_single_insert_stores_prisms_vector_by_one_call(fake: Stack) -> None:
    collection = joint(fake, "Single")
    before = calls(fake)
    uuid = collection.data.insert({"title": "a red square", "picture": b64(jpeg())})
    assert calls(fake) == before + 1
    expected = fake.prism.vector("a red square", jpeg())
    assert vectors(collection)[str(uuid)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_import_stores_the_right_vector_for_each(fake: Stack, path: str) -> None:
    collection = joint(fake, f"Import_{path}")
    objects = numbered(150, picture=b64(jpeg()))
    before = calls(fake)
    assert PATHS[path](fake, collection, objects) == {}
    made = calls(fake) - before
    assert made == CALLS.get(path, made)
    assert made < 75  # at least two objects in a call, however it was divided

    stored = vectors(collection)
    assert stored.keys() == objects.keys()
    assert len({tuple(vector) for vector in stored.values()}) == 150
    for each in list(objects)[::30]:
        expected = fake.prism.vector(objects[each]["title"], jpeg())
        assert stored[each] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_bad_picture_in_a_batch_fails_alone_and_by_its_id(fake: Stack, path: str) -> None:
    collection = joint(fake, f"Bad_{path}")
    objects = numbered(100, picture=b64(jpeg()))
    bad = {list(objects)[13], list(objects)[77]}
    for each in bad:
        objects[each]["picture"] = BAD_PICTURE
    failed = PATHS[path](fake, collection, objects)
    assert failed.keys() == bad
    assert all(each in message and "picture: " in message for each, message in failed.items()), failed

    stored = vectors(collection)
    assert stored.keys() == objects.keys() - bad
    assert all(stored.values())


def test_bad_picture_in_a_single_insert_fails_by_its_id(fake: Stack) -> None:
    collection = joint(fake, "SingleBad")
    bad = str(uuid.uuid4())
    with pytest.raises(UnexpectedStatusCodeError, match=f"{bad}: .*picture: "):
        collection.data.insert({"title": "a title", "picture": BAD_PICTURE}, uuid=bad)
    assert len(collection) == 0


def test_2000_objects_with_50_kb_pictures_are_stored_with_vectors(fake: Stack) -> None:
    collection = joint(fake, "Large")
    objects = numbered(2000)
    for number, each in enumerate(objects.values()):
        each["picture"] = b64(padded_jpeg(number, 50_000))
    send = by_client(lambda collection: collection.batch.fixed_size(batch_size=100, concurrent_requests=2))
    assert send(fake, collection, objects) == {}
    stored = vectors(collection)
    assert stored.keys() == objects.keys()
    assert all(stored.values())
    last = list(objects)[-1]
    assert stored[last] == pytest.approx(fake.prism.vector("number 1999", jpeg()), abs=1e-6)


def test_unnamed_vector_of_the_old_kind_is_prisms_too(fake: Stack) -> None:
    config = {"vectorizer": "multi2vec-prism", "moduleConfig": {"multi2vec-prism": {"textFields": ["title"]}}}
    properties = [{"name": "title", "dataType": ["text"]}]
    collection = fake.client.collections.create_from_dict({"class": "Unnamed", "properties": properties, **config})
    uuid = collection.data.insert({"title": "a red square"})
    found = collection.query.fetch_object_by_id(uuid, include_vector=True)
    assert found.vector["default"] == pytest.approx(fake.prism.vector("a red square"), abs=1e-6)
    assert [each.uuid for each in collection.query.near_text("red").objects] == [uuid]
