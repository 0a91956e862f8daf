"""Weaviate's stock modules and Prism: what they tell of it, and which Prism they ask."""

from __future__ import annotations

import pytest
from weaviate.classes.config import Configure

from objects import PROPERTIES, mean_vector, scene_objects, vectors
from servers import Stack

# The others tell nothing, or the name of another service.
MODULES = ("multi2vec-bind", "multi2vec-clip", "text2vec-transformers", "reranker-transformers")


def test_meta_of_every_module_is_prisms(bundled: Stack) -> None:
    modules = bundled.client.get_meta()["modules"]
    meta = bundled.prism.http.get("/meta").json()
    assert meta["models"]
    assert {name: modules[name] for name in MODULES} == dict.fromkeys(MODULES, meta)


def test_clip_module_asks_the_prism_at_the_collections_own_address(fake: Stack, bundled: Stack) -> None:
    collection = fake.client.collections.create(
        "Clip",
        properties=PROPERTIES,
        vector_config=Configure.Vectors.multi2vec_clip(
            inference_url=bundled.prism.url, text_fields=["title"], image_fields=["picture"]
        ),
    )
    objects = {
        each.uuid: {name: each.properties[name] for name in ("title", "picture")} for each in scene_objects(3, 7)
    }
    for uuid, properties in objects.items():
        collection.data.insert(properties, uuid=uuid)
    stored = vectors(collection)
    for uuid, properties in objects.items():
        assert stored[uuid] == pytest.approx(mean_vector(bundled.prism, properties), abs=1e-6)
        assert collection.query.near_text(properties["title"]).objects
        assert collection.query.near_image(properties["picture"]).objects
