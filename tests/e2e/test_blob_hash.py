"""A blobHash property, of which Weaviate has only a digest, is reranked by the media that Prism has kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import MetadataQuery, Rerank

from e2e.searches import phrase
from objects import AnyCollection, SceneObject, picture, redrawn, scene_objects
from servers import BUNDLED, Stack, stack, wait_until

COUNT = 8
PHOTO = Property(name="photo", data_type=DataType.BLOB_HASH)
MODULES = {
    "Clip": (
        [PHOTO, Property(name="title", data_type=DataType.TEXT)],
        Configure.Vectors.multi2vec_clip(image_fields=["photo"]),
    ),
    # Weaviate refuses a blobHash with multi2vec-bind where a collection has a text
    "Bind": ([PHOTO], Configure.Vectors.multi2vec_bind(image_fields=["photo"])),
}


@pytest.fixture(scope="module")
def objects() -> dict[str, SceneObject]:
    return {each.uuid: each for each in scene_objects(COUNT, seed=11)}


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory, objects: dict[str, SceneObject]) -> Iterator[Stack]:
    """Prism has kept the pictures of both collections' objects, and was killed and started since."""
    folder = tmp_path_factory.mktemp("restarted")
    flags = "--media-store", str(folder / "media"), "--vision-cache-bytes", "0"
    with stack(folder / "weaviate", *BUNDLED, *flags) as running:
        for module in MODULES:
            fill(running, module, objects.values())
        wait_until(lambda: running.prism.metric("prism_media_store_items") == COUNT)
        running.prism.kill()
        running.prism.start()
        yield running


def fill(stack: Stack, module: str, objects: Iterable[SceneObject]) -> None:
    properties, vectorizer = MODULES[module]
    collection = stack.client.collections.create(
        f"Hashed{module}",
        properties=properties,
        vector_config=vectorizer,
        reranker_config=Configure.Reranker.transformers(),
    )
    for each in objects:
        title = {"title": each.drawn.caption} if len(properties) > 1 else {}
        collection.data.insert({"photo": each.properties["picture"], **title}, uuid=each.uuid)


def reranked(collection: AnyCollection, picture: str, query: str) -> list[tuple[str, Any]]:
    found = collection.query.near_image(
        picture, rerank=Rerank(prop="photo", query=query), return_metadata=MetadataQuery(distance=True)
    )
    return [(str(each.uuid), each.metadata.rerank_score) for each in found.objects]


@pytest.mark.parametrize("query", ["words", "picture"])
@pytest.mark.parametrize("module", MODULES)
def test_a_blob_hash_is_reranked_by_its_media(
    restarted: Stack, objects: dict[str, SceneObject], module: str, query: str
) -> None:
    asked = next(iter(objects.values())).drawn
    shown = picture(redrawn(asked))
    asking = phrase(asked) if query == "words" else shown
    hits = restarted.prism.metric("prism_media_store_total", outcome="hit")
    found = reranked(restarted.client.collections.get(f"Hashed{module}"), shown, asking)
    assert {uuid for uuid, _ in found} == objects.keys()
    scores = [score for _, score in found]
    pictures = [objects[uuid].properties["picture"] for uuid, _ in found]
    assert scores == pytest.approx(restarted.prism.rerank(asking, pictures), abs=1e-5)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]
    assert restarted.prism.metric("prism_media_store_total", outcome="hit") == hits + COUNT
