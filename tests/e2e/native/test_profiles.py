"""Collections that name profiles of one Prism: each vector, search and rerank gets the model that it asks for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from weaviate.classes.query import MetadataQuery, Rerank
from weaviate.exceptions import UnexpectedStatusCodeError

from e2e.native.test_named_vectors import PROPERTIES, assert_stored
from objects import b64, jpeg, prism_reranker, prism_vector
from servers import Prism, Stack, native_stack

FILE = """
[profiles.short]
embedder = "fake"
dimensions = 8
[profiles.scenes]
embedder = "scenes-embedder"
query_prompt = "Find the scene."
preload = false
[profiles.words]
reranker = "fake"
"""


@pytest.fixture(scope="module")
def stack(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("profiles")
    file = folder / "prism.toml"
    file.write_text(FILE)
    with native_stack(folder, Prism("--config", str(file), "--embedder", "", "--reranker", "")) as running:
        yield running


def test_vectors_searches_and_scores_are_those_of_the_profiles_that_a_collection_names(stack: Stack) -> None:
    collection = stack.client.collections.create(
        "Profiled",
        properties=PROPERTIES,
        vector_config=[
            prism_vector("short", textFields=["title"], model="short"),
            prism_vector("scenes", textFields=["title"], imageFields=["picture"], model="scenes"),
            prism_vector("default", textFields=["title"]),
        ],
        reranker_config=prism_reranker(textFields=["title"], model="words"),
    )
    titles = ["a red square", "four small purple stars"]
    ids = [collection.data.insert({"title": title, "picture": b64(jpeg())}) for title in titles]
    for title, of_object in zip(titles, ids, strict=True):
        short = stack.prism.vector(title, model="short")
        assert len(short) == 8
        scenes = stack.prism.vector(title, jpeg(), model="scenes")
        # the default's name in the schema is its model's own, which stands for the same profile
        assert_stored(collection, str(of_object), {"short": short, "scenes": scenes, "default": short})
    for target in ("short", "scenes", "default"):
        found = collection.query.near_text(
            titles[1],
            target_vector=target,
            rerank=Rerank(prop="title", query="four red stars"),
            return_metadata=MetadataQuery(distance=True),
        )
        scores = {each.uuid: each.metadata.rerank_score for each in found.objects}
        assert [scores[of_object] for of_object in ids] == pytest.approx([1 / 3, 2 / 3])
        nearest = min(found.objects, key=lambda each: each.metadata.distance or 0.0)
        assert nearest.uuid == ids[1]


def test_a_profile_that_is_not_known_is_refused_with_those_that_are(stack: Stack) -> None:
    collection = stack.client.collections.create(
        "Unprofiled", properties=PROPERTIES, vector_config=[prism_vector("other", textFields=["title"], model="other")]
    )
    with pytest.raises(UnexpectedStatusCodeError, match="'other' is not known; known are 'short', 'scenes'"):
        collection.data.insert({"title": "a red square"}, uuid=str(uuid.uuid4()))
    assert len(collection) == 0
