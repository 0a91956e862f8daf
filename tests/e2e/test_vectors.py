"""What Weaviate expects of vectors: length one, and the same bits for the same content."""

from __future__ import annotations

import numpy as np
import pytest

from e2e.gallery import Gallery
from objects import import_all, named, scene_objects, vectors
from servers import Stack

KINDS = {"title": "texts", "picture": "images", "clip": "video"}


@pytest.mark.parametrize("field", KINDS)
def test_stored_vectors_have_length_one(gallery: Gallery, field: str) -> None:
    lengths = [float(np.linalg.norm(vector)) for vector in vectors(gallery.collection, field).values()]
    assert lengths == pytest.approx([1.0] * len(gallery.objects), abs=1e-6)


@pytest.mark.parametrize("field", KINDS)
def test_same_content_in_other_objects_gets_the_same_bits(bundled: Stack, field: str) -> None:
    first, *others = scene_objects(12, seed=8)
    for each in others[::3]:
        each.properties[field] = first.properties[field]
    collection = named(bundled.client, f"Same_{field}")
    collection.data.insert(first.properties, uuid=first.uuid)
    assert import_all(collection, others) == {}

    stored = vectors(collection, field)
    same = [stored[each.uuid] for each in (first, *others[::3])]
    assert same == [bundled.prism.embed(KINDS[field], first.properties[field])] * len(same)
