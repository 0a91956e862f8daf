"""Objects that lack some or all properties of a vector, and properties of several texts."""

from __future__ import annotations

import uuid

import pytest
from weaviate.classes.config import DataType, Property
from weaviate.exceptions import UnexpectedStatusCodeError

from e2e.native.paths import PATHS
from objects import AnyCollection, b64, jpeg, prism_vector, vectors
from servers import Stack, weaviate_metric

PROPERTIES = [
    Property(name="title", data_type=DataType.TEXT),
    Property(name="tags", data_type=DataType.TEXT_ARRAY),
    Property(name="picture", data_type=DataType.BLOB),
]


def two(stack: Stack, name: str, *, require: bool = False) -> AnyCollection:
    """A collection with a vector of texts and one of pictures."""
    return stack.client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=[
            prism_vector("words", textFields=["title", "tags"]),
            prism_vector("looks", imageFields=["picture"], requireVector=require),
        ],
    )


def without_fields(stack: Stack, collection: AnyCollection, target: str) -> float:
    return weaviate_metric(
        stack.weaviate, "prism_module_objects_without_fields_total", collection=collection.name, target=target
    )


@pytest.mark.parametrize("path", PATHS)
def test_object_without_a_vectors_properties_gets_the_other_vectors_and_is_counted(fake: Stack, path: str) -> None:
    collection = two(fake, f"Lacking_{path}")
    ids = [str(uuid.uuid4()) for _ in range(4)]
    objects = dict(
        zip(ids, [{"title": "a"}, {"picture": b64(jpeg())}, {"title": "b", "picture": b64(jpeg())}, {}], strict=True)
    )
    assert PATHS[path](fake, collection, objects) == {}
    words, looks = vectors(collection, "words"), vectors(collection, "looks")
    red = pytest.approx(fake.prism.vector(jpeg()), abs=1e-6)
    assert [words[each] for each in ids] == [
        pytest.approx(fake.prism.vector("a"), abs=1e-6),
        [],
        pytest.approx(fake.prism.vector("b"), abs=1e-6),
        [],
    ]
    assert [looks[each] for each in ids] == [[], red, red, []]
    assert without_fields(fake, collection, "words") == 2
    assert without_fields(fake, collection, "looks") == 2


@pytest.mark.parametrize("path", PATHS)
def test_required_vector_makes_an_error_of_an_object_without_its_properties(fake: Stack, path: str) -> None:
    collection = two(fake, f"Required_{path}", require=True)
    lacking, complete = str(uuid.uuid4()), str(uuid.uuid4())
    objects = {lacking: {"title": "a"}, complete: {"title": "b", "picture": b64(jpeg())}}
    failed = PATHS[path](fake, collection, objects)
    assert failed.keys() == {lacking}
    assert lacking in failed[lacking]
    assert "picture" in failed[lacking]
    assert vectors(collection, "looks").keys() == {complete}
    with pytest.raises(UnexpectedStatusCodeError, match="picture"):
        collection.data.insert({"title": "a"})


def test_every_text_of_a_list_is_a_part(fake: Stack) -> None:
    collection = two(fake, "Listed")
    listed = str(collection.data.insert({"title": "a", "tags": ["red", "two words"]}))
    alone = str(collection.data.insert({"tags": ["red"]}))
    empty = str(collection.data.insert({"title": "a", "tags": []}))
    stored = vectors(collection, "words")
    assert stored[listed] == pytest.approx(fake.prism.vector("a", "red", "two words"), abs=1e-6)
    assert stored[alone] == pytest.approx(fake.prism.vector("red"), abs=1e-6)
    assert stored[empty] == pytest.approx(fake.prism.vector("a"), abs=1e-6)


def test_empty_text_is_a_text(fake: Stack) -> None:
    collection = two(fake, "Empty")
    inserted = str(collection.data.insert({"title": ""}))
    assert vectors(collection, "words")[inserted] == pytest.approx(fake.prism.vector(""), abs=1e-6)
