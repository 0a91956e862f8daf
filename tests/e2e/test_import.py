"""Objects come in, one by one and in batches: none is without a vector unless its id is reported as failed."""

from __future__ import annotations

import base64

import pytest
from weaviate.exceptions import UnexpectedStatusCodeError

from objects import BATCHES, SceneObject, averaged, import_all, mean_vector, scene_objects, vectors
from servers import Stack

BAD_PICTURE = base64.b64encode(b"not a picture").decode()


@pytest.fixture(scope="module")
def five_hundred() -> list[SceneObject]:
    return scene_objects(500, seed=1)


@pytest.mark.parametrize("style", BATCHES)
def test_batch_import_of_500_objects_stores_a_vector_for_each(
    bundled: Stack, five_hundred: list[SceneObject], style: str
) -> None:
    collection = averaged(bundled.client, f"Bulk_{style}")
    assert import_all(collection, five_hundred, BATCHES[style]) == {}

    stored = vectors(collection)
    assert stored.keys() == {each.uuid for each in five_hundred}
    assert all(stored.values())
    for each in five_hundred[::100]:
        assert stored[each.uuid] == pytest.approx(mean_vector(bundled.prism, each.properties), abs=1e-6)


def test_single_insert_stores_the_mean_of_its_vectors(bundled: Stack) -> None:
    (each,) = scene_objects(1, seed=3)
    collection = averaged(bundled.client, "Single")
    collection.data.insert(each.properties, uuid=each.uuid)
    assert vectors(collection)[each.uuid] == pytest.approx(mean_vector(bundled.prism, each.properties), abs=1e-6)


def test_single_insert_of_a_bad_picture_fails_with_the_reason(fake: Stack) -> None:
    collection = averaged(fake.client, "SingleBad")
    with pytest.raises(UnexpectedStatusCodeError, match=r"images\[0\]: "):
        collection.data.insert({"title": "a title", "picture": BAD_PICTURE})
    assert len(collection) == 0


@pytest.mark.parametrize("style", BATCHES)
def test_bad_picture_in_a_batch_fails_alone_and_with_the_reason(fake: Stack, style: str) -> None:
    objects = scene_objects(20, seed=4)
    bad = objects[7]
    bad.properties["picture"] = BAD_PICTURE
    collection = averaged(fake.client, f"Bad_{style}")
    failed = import_all(collection, objects, BATCHES[style])
    assert failed.keys() == {bad.uuid}
    assert "images[0]: " in failed[bad.uuid]

    stored = vectors(collection)
    assert stored.keys() == {each.uuid for each in objects if each is not bad}
    assert all(stored.values())
