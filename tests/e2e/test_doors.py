"""The modules of Weaviate beyond bind, clip and reranker-transformers: each inserts, searches or reranks through Prism.

Vectors and scores are compared with Prism's own by gRPC, so that text, side and model are those that were meant.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pytest
from weaviate.classes.config import Configure, Integrations
from weaviate.classes.query import MetadataQuery, Rerank
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateQueryError

from e2e.searches import near_image, near_text, near_video, phrase
from objects import PROPERTIES, AnyCollection, SceneObject, clip, import_all, picture, redrawn, scene_objects, vectors
from servers import Content, Stack
from weaviate_prism.v1 import prism_pb2 as pb

MODEL = "scenes-embedder"
DIMENSIONS = 24
CUT_OFF = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR4"


TITLES: Mapping[str, Any] = {"source_properties": ["title"], "vectorize_collection_name": False}


def url(stack: Stack, path: str = "") -> Any:
    """Of Prism; weaviate-client's annotations want it parsed."""
    return stack.prism.url + path


def configured(stack: Stack) -> list[Any]:
    """A vector for each module, and for some of the ways to name a model."""
    new = Configure.Vectors
    return [
        new.text2vec_transformers(name="transformers", inference_url=url(stack), **TITLES),
        new.text2vec_transformers(
            name="transformers_cut", inference_url=url(stack, f"/p/{MODEL}"), dimensions=DIMENSIONS, **TITLES
        ),
        new.img2vec_neural(name="img2vec", image_fields=["picture"]),
        # a slash is added to an address that has no path
        new.multi2vec_voyageai(
            name="voyageai",
            base_url=url(stack),
            text_fields=["title"],
            image_fields=["picture"],
            video_fields=["clip"],
        ),
        new.multi2vec_voyageai(
            name="voyageai_named", base_url=url(stack, "/v1"), model=MODEL, image_fields=["picture"]
        ),
    ]


OBJECTS = scene_objects(6, seed=11)


@pytest.fixture(scope="module")
def scenes(bundled: Stack) -> AnyCollection:
    collection = bundled.client.collections.create("Doors", properties=PROPERTIES, vector_config=configured(bundled))
    assert import_all(collection, OBJECTS) == {}
    return collection


def contents(each: SceneObject) -> Mapping[str, Content]:
    media = {name: base64.b64decode(each.properties[name]) for name in ("picture", "clip")}
    return {"title": each.properties["title"], **media}


@pytest.mark.parametrize(
    ("name", "fields", "target"),
    [
        ("transformers", ["title"], {}),
        ("transformers_cut", ["title"], {"dimensions": DIMENSIONS}),
        ("img2vec", ["picture"], {}),
        ("voyageai", ["title", "picture", "clip"], {}),
        ("voyageai_named", ["picture"], {}),
    ],
)
def test_objects_have_prisms_vectors_of_documents(
    bundled: Stack, scenes: AnyCollection, name: str, fields: list[str], target: dict[str, Any]
) -> None:
    stored = vectors(scenes, name)
    for each in OBJECTS:
        own = [bundled.prism.vector(contents(each)[field], **target) for field in fields]
        assert stored[each.uuid] == pytest.approx(np.mean(own, axis=0).tolist(), abs=1e-5)


@dataclass(frozen=True)
class Search:
    vector: str
    run: Callable[..., Any]
    query: str
    dimensions: int = 0


QUERY = phrase(OBJECTS[0].drawn)
SEARCHES = {
    "transformers": Search("transformers", near_text, QUERY),
    "transformers, fewer dimensions": Search("transformers_cut", near_text, QUERY, dimensions=DIMENSIONS),
    "img2vec": Search("img2vec", near_image, picture(redrawn(OBJECTS[0].drawn))),
    "voyageai, text": Search("voyageai", near_text, QUERY),
    "voyageai, picture": Search("voyageai", near_image, picture(redrawn(OBJECTS[0].drawn))),
    "voyageai, clip": Search("voyageai", near_video, clip(redrawn(OBJECTS[0].filmed))),
    "voyageai, named": Search("voyageai_named", near_text, QUERY),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_are_made_with_prisms_vectors_of_queries(bundled: Stack, scenes: AnyCollection, name: str) -> None:
    search = SEARCHES[name]
    found = search.run(
        scenes, search.query, target_vector=search.vector, return_metadata=MetadataQuery(distance=True)
    ).objects
    asked = search.query if search.run is near_text else base64.b64decode(search.query)
    expected, other = (
        distances(vectors(scenes, search.vector), bundled.prism.vector(asked, task=task, dimensions=search.dimensions))
        for task in (pb.TASK_QUERY, pb.TASK_DOCUMENT)
    )
    assert {str(each.uuid): each.metadata.distance for each in found} == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(other, abs=1e-3)


def distances(stored: Mapping[str, list[float]], query: list[float]) -> dict[str, float]:
    """Of cosine, as Weaviate gives them."""
    return {
        uuid: 1 - float(np.dot(vector, query) / np.linalg.norm(vector) / np.linalg.norm(query))
        for uuid, vector in stored.items()
    }


def test_hybrid_search_asks_with_a_query(scenes: AnyCollection) -> None:
    found = scenes.query.hybrid(OBJECTS[2].drawn.caption, target_vector="transformers", alpha=1, limit=1)
    assert str(found.objects[0].uuid) == OBJECTS[2].uuid


Created: TypeAlias = Callable[..., AnyCollection]


@pytest.fixture(scope="module")
def openai(bundled: Stack) -> Created:
    """Makes collections of text2vec-openai, which takes one object at a time: for more it fetches a tokenizer."""
    bundled.client.integrations.configure(Integrations.openai(api_key="none"))

    def create(name: str, **config: Any) -> AnyCollection:
        vector = Configure.Vectors.text2vec_openai(base_url=url(bundled), **TITLES, **config)
        return bundled.client.collections.create(name, properties=PROPERTIES, vector_config=vector)

    return create


def test_the_openai_door_serves_weaviates_module(bundled: Stack, openai: Created) -> None:
    """It does not tell queries from documents."""
    collection = openai("Openai", model=MODEL)
    for each in OBJECTS:
        collection.data.insert({"title": each.properties["title"]}, uuid=each.uuid)
    own = {each.uuid: bundled.prism.vector(each.properties["title"]) for each in OBJECTS}
    assert vectors(collection) == {uuid: pytest.approx(vector, abs=1e-5) for uuid, vector in own.items()}
    found = near_text(collection, QUERY, return_metadata=MetadataQuery(distance=True)).objects
    expected = distances(own, bundled.prism.vector(QUERY))
    assert {str(each.uuid): each.metadata.distance for each in found} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "model", "says"),
    [
        ("OpenaiNobody", "nobody", f"model 'nobody' .*'{MODEL}'"),
        # Weaviate asks for the dimensions of the model that it believes to talk to
        ("OpenaiDefault", None, "dimensions: 1536 are more than"),
    ],
)
def test_errors_of_the_openai_door_reach_the_user(openai: Created, name: str, model: str | None, says: str) -> None:
    with pytest.raises(UnexpectedStatusCodeError, match=says):
        openai(name, model=model).data.insert({"title": "a"})


# -- Rerankers -------------------------------------------------------------------------------------

RERANKERS: Mapping[str, Callable[[Stack], Any]] = {
    "Cohere": lambda stack: Configure.Reranker.cohere(base_url=url(stack)),
    "CohereNamed": lambda stack: Configure.Reranker.cohere(model="scenes-reranker", base_url=url(stack)),
    "Nvidia": lambda stack: Configure.Reranker.nvidia(base_url=url(stack)),
    "NvidiaNamed": lambda stack: Configure.Reranker.nvidia(base_url=url(stack, "/p/scenes-reranker")),
}


def reranked(stack: Stack, name: str, reranker: Any) -> AnyCollection:
    """An empty collection."""
    return stack.client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=Configure.Vectors.multi2vec_bind(text_fields=["title"]),
        reranker_config=reranker,
    )


@pytest.mark.parametrize("name", RERANKERS)
def test_results_are_in_the_order_of_prisms_scores(bundled: Stack, name: str) -> None:
    collection = reranked(bundled, name, RERANKERS[name](bundled))
    assert import_all(collection, OBJECTS) == {}
    properties = {each.uuid: each.properties for each in OBJECTS}
    for field, query in (("title", QUERY), ("picture", QUERY), ("picture", picture(redrawn(OBJECTS[0].drawn)))):
        found = collection.query.near_text(QUERY, rerank=Rerank(prop=field, query=query)).objects
        scores = [each.metadata.rerank_score or 0.0 for each in found]
        documents = [properties[str(each.uuid)][field] for each in found]
        assert scores == pytest.approx(bundled.prism.rerank(query, documents), abs=1e-5)
        assert scores == sorted(scores, reverse=True)
        assert len(set(scores)) > 1


# -- What users see of errors ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reranker", "says"),
    [
        ("CohereBad", Configure.Reranker.cohere, r"documents\[\d\]: the PNG picture cannot be decoded"),
        ("NvidiaBad", Configure.Reranker.nvidia, r"passages\[\d\]: the PNG picture cannot be decoded"),
    ],
)
def test_a_document_that_cannot_be_scored_is_named(
    bundled: Stack, name: str, reranker: Callable[..., Any], says: str
) -> None:
    collection = reranked(bundled, name, reranker(base_url=url(bundled)))
    collection.data.insert({"title": "cut off", "picture": CUT_OFF})
    with pytest.raises(WeaviateQueryError, match=says):
        collection.query.near_text("a", rerank=Rerank(prop="picture", query="a"))


BAD: Mapping[str, tuple[Callable[[Stack], Any], str]] = {
    "Voyageai": (
        lambda stack: Configure.Vectors.multi2vec_voyageai(base_url=url(stack), image_fields=["picture"]),
        r"inputs\[0\]: the PNG picture cannot be decoded",
    ),
    # all that the module tells
    "Img2vec": (lambda stack: Configure.Vectors.img2vec_neural(image_fields=["picture"]), "status 400"),
    "Transformers": (
        lambda stack: Configure.Vectors.text2vec_transformers(
            inference_url=url(stack, "/p/nobody"), source_properties=["title"]
        ),
        f"model 'nobody' .*'{MODEL}'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_object_that_cannot_be_vectorized_is_refused_with_the_reason(bundled: Stack, name: str) -> None:
    vector, says = BAD[name]
    collection = bundled.client.collections.create(f"Bad{name}", properties=PROPERTIES, vector_config=vector(bundled))
    with pytest.raises(UnexpectedStatusCodeError, match=says):
        collection.data.insert({"title": "cut off", "picture": CUT_OFF})
