"""What makes Weaviate ask for a new vector, and what does not."""

from __future__ import annotations

import pytest
from weaviate.classes.config import DataType, Property

from e2e.native.test_import import calls
from objects import AnyCollection, b64, jpeg, prism_vector
from servers import Stack

TITLE, PICTURE = "a red square", b64(jpeg())
VALUES = {"title": TITLE, "picture": PICTURE, "note": "first"}


@pytest.fixture(scope="module")
def collection(fake: Stack) -> AnyCollection:
    return fake.client.collections.create(
        "Updated",
        properties=[
            Property(name="title", data_type=DataType.TEXT),
            Property(name="picture", data_type=DataType.BLOB),
            Property(name="note", data_type=DataType.TEXT),
        ],
        vector_config=[
            prism_vector("words", textFields=["title"]),
            prism_vector("both", textFields=["title"], imageFields=["picture"]),
        ],
    )


@pytest.mark.parametrize("changed", [{"note": "second"}, {"title": TITLE}, {"note": "second", "picture": PICTURE}])
def test_update_of_what_no_vector_reads_asks_for_none(
    fake: Stack, collection: AnyCollection, changed: dict[str, str]
) -> None:
    inserted = collection.data.insert(VALUES)
    before = calls(fake)
    collection.data.update(inserted, changed)
    collection.data.replace(inserted, {**VALUES, **changed})
    assert calls(fake) == before
    assert_vectors(fake, collection, inserted, TITLE, jpeg())


def test_update_of_a_property_asks_for_the_vectors_that_read_it(fake: Stack, collection: AnyCollection) -> None:
    inserted = collection.data.insert(VALUES)
    before = calls(fake)
    collection.data.update(inserted, {"picture": b64(jpeg("blue"))})
    assert calls(fake) == before + 1
    assert_vectors(fake, collection, inserted, TITLE, jpeg("blue"))


def test_replacing_an_object_asks_for_the_vectors_of_what_changed(fake: Stack, collection: AnyCollection) -> None:
    inserted = collection.data.insert(VALUES)
    collection.data.replace(inserted, {**VALUES, "title": "another title"})
    assert_vectors(fake, collection, inserted, "another title", jpeg())
    before = calls(fake)
    collection.data.replace(inserted, {**VALUES, "title": "another title", "picture": b64(jpeg("blue"))})
    assert calls(fake) == before + 1
    assert_vectors(fake, collection, inserted, "another title", jpeg("blue"))


def test_one_vectors_property_changes_by_one_call(fake: Stack) -> None:
    alone = fake.client.collections.create(
        "UpdatedAlone",
        properties=[Property(name="title", data_type=DataType.TEXT)],
        vector_config=prism_vector(textFields=["title"]),
    )
    inserted = alone.data.insert({"title": TITLE})
    before = calls(fake)
    alone.data.update(inserted, {"title": "another title"})
    assert calls(fake) == before + 1
    found = alone.query.fetch_object_by_id(inserted, include_vector=True)
    assert found.vector["default"] == pytest.approx(fake.prism.vector("another title"), abs=1e-6)


def assert_vectors(fake: Stack, collection: AnyCollection, uuid: object, title: str, picture: bytes) -> None:
    found = collection.query.fetch_object_by_id(str(uuid), include_vector=True)
    assert found.vector["words"] == pytest.approx(fake.prism.vector(title), abs=1e-6)
    assert found.vector["both"] == pytest.approx(fake.prism.vector(title, picture), abs=1e-6)
