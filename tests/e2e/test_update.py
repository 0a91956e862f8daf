"""What makes Weaviate ask for a new vector, and what does not."""

from __future__ import annotations

import pytest

from objects import averaged, mean_vector, scene_objects, vectors
from servers import Stack


def test_only_a_change_asks_for_a_new_vector(fake: Stack) -> None:
    def calls() -> float:
        return fake.prism.metric("prism_requests_total", door="http /vectorize")

    (each,) = scene_objects(1, seed=5)
    collection = averaged(fake.client, "Updated")
    collection.data.insert(each.properties, uuid=each.uuid)
    before, inserted = vectors(collection)[each.uuid], calls()

    collection.data.replace(each.uuid, each.properties)
    collection.data.update(each.uuid, {"title": each.properties["title"]})
    assert calls() == inserted
    assert vectors(collection)[each.uuid] == before

    collection.data.update(each.uuid, {"title": "another title"})
    assert calls() == inserted + 1
    changed = mean_vector(fake.prism, {**each.properties, "title": "another title"})
    assert vectors(collection)[each.uuid] == pytest.approx(changed, abs=1e-6)
