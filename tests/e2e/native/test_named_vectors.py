"""Several vectors of one object: made in one call, each from its own properties."""

from __future__ import annotations

import uuid

import pytest
from weaviate.classes.config import DataType, Property
from weaviate.exceptions import UnexpectedStatusCodeError

from contract.samples import clip
from e2e.native.paths import PATHS
from e2e.native.test_import import BAD_PICTURE, calls
from objects import AnyCollection, b64, failures, jpeg, prism_vector, vectors
from servers import Stack

PROPERTIES = [
    Property(name="title", data_type=DataType.TEXT),
    Property(name="picture", data_type=DataType.BLOB),
    Property(name="clip", data_type=DataType.BLOB),
]
PROPERTY_VALUES = {"title": "a red square", "picture": b64(jpeg()), "clip": b64(clip())}
BROUGHT = [0.5] * 4


def four(stack: Stack, name: str) -> AnyCollection:
    """A collection with four vectors."""
    return stack.client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=[
            prism_vector("words", textFields=["title"]),
            prism_vector("looks", imageFields=["picture"]),
            prism_vector("film", videoFields=["clip"], dimensions=8),
            prism_vector("all", textFields=["title"], imageFields=["picture"], videoFields=["clip"]),
        ],
    )


def expected(stack: Stack) -> dict[str, list[float]]:
    """Prism's own vectors of `PROPERTY_VALUES`."""
    return {
        "words": stack.prism.vector("a red square"),
        "looks": stack.prism.vector(jpeg()),
        "film": stack.prism.vector(clip(), dimensions=8),
        "all": stack.prism.vector("a red square", jpeg(), clip()),
    }


def assert_stored(collection: AnyCollection, uuid: str, wanted: dict[str, list[float]]) -> None:
    """The object has these vectors and no others."""
    found = collection.query.fetch_object_by_id(uuid, include_vector=True)
    assert found.vector.keys() == wanted.keys()
    for name, vector in wanted.items():
        assert found.vector[name] == pytest.approx(vector, abs=1e-6)


def test_four_vectors_of_an_object_are_made_in_one_call(fake: Stack) -> None:
    collection = four(fake, "FourSingle")
    before = calls(fake)
    inserted = collection.data.insert(PROPERTY_VALUES)
    assert calls(fake) == before + 1
    assert_stored(collection, str(inserted), expected(fake))


def test_four_vectors_of_a_batch_are_made_in_one_call(fake: Stack) -> None:
    collection = four(fake, "FourBatch")
    objects = {str(uuid.uuid4()): PROPERTY_VALUES for _ in range(20)}
    before = calls(fake)
    assert PATHS["rest"](fake, collection, objects) == {}
    assert calls(fake) == before + 1
    for each in objects:
        assert_stored(collection, each, expected(fake))


@pytest.mark.parametrize("path", PATHS)
def test_bad_picture_fails_the_object_whichever_vector_reads_it(fake: Stack, path: str) -> None:
    collection = four(fake, f"FourBad_{path}")
    objects = {str(uuid.uuid4()): PROPERTY_VALUES for _ in range(30)}
    bad = list(objects)[11]
    objects[bad] = {**PROPERTY_VALUES, "picture": BAD_PICTURE}
    failed = PATHS[path](fake, collection, objects)
    assert failed.keys() == {bad}
    assert bad in failed[bad]
    for name, wanted in expected(fake).items():
        stored = vectors(collection, name)
        assert stored.keys() == objects.keys() - {bad}
        assert all(vector == pytest.approx(wanted, abs=1e-6) for vector in stored.values())


def test_vector_that_the_user_brings_is_kept_and_its_property_not_read(fake: Stack) -> None:
    collection = fake.client.collections.create(
        "Brought",
        properties=PROPERTIES,
        vector_config=[prism_vector("words", textFields=["title"]), prism_vector("looks", imageFields=["picture"])],
    )
    wanted = {"words": fake.prism.vector("a red square"), "looks": BROUGHT}
    values = {"title": "a red square", "picture": BAD_PICTURE}
    single = collection.data.insert(values, vector={"looks": BROUGHT})
    assert_stored(collection, str(single), wanted)
    others = [str(uuid.uuid4()) for _ in range(3)]
    with collection.batch.fixed_size(batch_size=3) as batch:
        for each in others:
            batch.add_object(values, uuid=each, vector={"looks": BROUGHT})
    assert failures(collection) == {}
    for each in others:
        assert_stored(collection, each, wanted)


def test_batch_in_which_only_some_bring_their_vector(fake: Stack) -> None:
    collection = fake.client.collections.create(
        "SomeBrought",
        properties=PROPERTIES,
        vector_config=[prism_vector("words", textFields=["title"]), prism_vector("looks", imageFields=["picture"])],
    )
    words, looks = fake.prism.vector("a red square"), fake.prism.vector(jpeg())
    brought = words[::-1]
    bringing = [{"words": brought}, {}, {"looks": brought}, {"words": brought, "looks": brought}]
    ids = [str(uuid.uuid4()) for _ in bringing]
    values = {"title": "a red square", "picture": b64(jpeg())}
    with collection.batch.fixed_size(batch_size=len(ids)) as batch:
        for each, brings in zip(ids, bringing, strict=True):
            batch.add_object(values, uuid=each, vector=brings or None)
    assert failures(collection) == {}
    for each, brings in zip(ids, bringing, strict=True):
        assert_stored(collection, each, {"words": words, "looks": looks, **brings})


def test_vector_that_is_added_later_is_made_for_new_objects(fake: Stack) -> None:
    collection = fake.client.collections.create(
        "Grown", properties=PROPERTIES, vector_config=[prism_vector("words", textFields=["title"])]
    )
    values = {"title": "a red square", "picture": b64(jpeg())}
    wanted = {"words": fake.prism.vector("a red square")}
    old = str(collection.data.insert(values))
    collection.config.add_vector(vector_config=prism_vector("looks", imageFields=["picture"]))
    new = str(collection.data.insert(values))
    assert_stored(collection, old, wanted)
    assert_stored(collection, new, {**wanted, "looks": fake.prism.vector(jpeg())})


def test_vector_of_a_model_that_is_not_loaded_is_refused_by_name(fake: Stack) -> None:
    collection = fake.client.collections.create(
        "Unloaded",
        properties=PROPERTIES,
        vector_config=[
            prism_vector("words", textFields=["title"]),
            prism_vector("other", textFields=["title"], model="another-model"),
        ],
    )
    with pytest.raises(UnexpectedStatusCodeError, match="another-model"):
        collection.data.insert({"title": "a red square"})
    assert len(collection) == 0
