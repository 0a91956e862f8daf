"""An older Weaviate with the native modules, by `make test-weaviate-1.38`: built, and each thing tried once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import MetadataQuery, Rerank

from objects import AnyCollection, b64, jpeg
from servers import Prism, native_variables
from weaviate_prism.weaviate.binary import find_go
from weaviate_prism.weaviate.native import sources
from weaviate_prism.weaviate.server import WeaviateServer

VERSION = "1.38.11"
OBJECTS = 50
BAD = 7
NOT_A_PICTURE = b64(b"GIF89a but nothing follows")


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("built") / "weaviate"
    environment = {
        **os.environ,
        "PATH": f"{find_go().parent}{os.pathsep}{os.environ['PATH']}",
        "WEAVIATE_VERSION": VERSION,
    }
    subprocess.run(("sh", str(sources() / "build.sh"), str(built)), env=environment, check=True)
    return built


@pytest.fixture(scope="module")
def films(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyCollection]:
    """An empty collection with a vector of two fields and a reranker."""
    with Prism("--embedder", "fake", "--reranker", "fake") as prism:
        data = tmp_path_factory.mktemp("data")
        server = WeaviateServer(prism.url, data, binary=binary, environment=native_variables(prism))
        with server as weaviate, weaviate.client() as client:
            assert client.get_meta()["version"] == VERSION
            yield client.collections.create(
                "Film",
                properties=[
                    Property(name="title", data_type=DataType.TEXT),
                    Property(name="still", data_type=DataType.BLOB),
                ],
                vector_config=[
                    Configure.Vectors.custom(
                        name="all",
                        module_name="multi2vec-prism",
                        module_config={"textFields": ["title"], "imageFields": ["still"], "fusion": "mean"},
                    ),
                    Configure.Vectors.custom(
                        name="title", module_name="multi2vec-prism", module_config={"textFields": ["title"]}
                    ),
                ],
                reranker_config=Configure.Reranker.custom("reranker-prism", {"textFields": ["title"]}),
            )


def test_batch_search_and_rerank(films: AnyCollection) -> None:
    with films.batch.fixed_size(OBJECTS) as batch:
        for number in range(OBJECTS):
            still = NOT_A_PICTURE if number == BAD else b64(jpeg())
            batch.add_object({"title": f"film {number}", "still": still})
    (failed,) = films.batch.failed_objects
    assert failed.object_.properties is not None
    assert failed.object_.properties["title"] == f"film {BAD}"
    stored = list(films.iterator(include_vector=True))
    assert len(stored) == OBJECTS - 1
    assert all(each.vector.keys() == {"all", "title"} for each in stored)

    found = films.query.near_text(
        "film 3",
        target_vector="title",
        limit=10,
        rerank=Rerank(prop="title", query="film 3"),
        return_metadata=MetadataQuery(distance=True),
    )
    scores = [each.metadata.rerank_score for each in found.objects]
    assert len(scores) == 10
    assert all(score is not None for score in scores)
    assert films.query.near_image(b64(jpeg()), target_vector="all", limit=3).objects
