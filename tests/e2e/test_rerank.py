"""Results come back in the order of Prism's own scores, whatever the search, the property and the query."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import Rerank
from weaviate.exceptions import WeaviateQueryError

from e2e.gallery import Gallery
from e2e.searches import SEARCHES, phrase
from objects import PROPERTIES, AnyCollection, b64, picture, redrawn
from servers import Content, Stack
from weaviate_prism.bundled.drawing import picture_png
from weaviate_prism.bundled.scenes import make_scenes

LIMIT = 10


def assert_reranked(
    gallery: Gallery, field: str, query: str, answer: list[tuple[str, float]], count: int = LIMIT
) -> None:
    """Scores are what Prism says itself, best first."""
    assert len(answer) == count
    scores = [score for _, score in answer]
    documents = [gallery.objects[uuid].properties[field] for uuid, _ in answer]
    assert scores == pytest.approx(gallery.stack.prism.rerank(query, documents), abs=1e-5)
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1


def scored(objects: list[Any]) -> list[tuple[str, float]]:
    return [(str(each.uuid), each.metadata.rerank_score) for each in objects]


@pytest.mark.parametrize("name", SEARCHES)
def test_search_is_reranked_by_the_query_that_found_it(gallery: Gallery, name: str) -> None:
    search = SEARCHES[name]
    query = search.query(gallery.scenes(search.field)[0])
    found = search(gallery.collection, query, limit=LIMIT)
    reranked = search(gallery.collection, query, limit=LIMIT, rerank=Rerank(prop=search.field, query=query))
    assert {each.uuid for each in reranked} == {each.uuid for each in found}
    assert_reranked(gallery, search.field, query, scored(reranked))


@pytest.mark.parametrize("field", ["picture", "clip"])
def test_graphql_query_is_reranked_on_a_blob(gallery: Gallery, field: str) -> None:
    query = phrase(gallery.scenes(field)[0])
    answer = gallery.stack.client.graphql_raw_query(
        f"""{{ Get {{ Gallery(
            limit: {LIMIT}, nearText: {{concepts: [{json.dumps(query)}], targetVectors: ["{field}"]}}
        ) {{ _additional {{ id rerank(property: "{field}", query: {json.dumps(query)}) {{ score }} }} }} }} }}"""
    )
    assert answer.errors is None
    found = [each["_additional"] for each in answer.get["Gallery"]]
    assert_reranked(gallery, field, query, [(each["id"], each["rerank"][0]["score"]) for each in found])


def test_graphql_query_is_reranked_by_a_picture(gallery: Gallery) -> None:
    query = picture(redrawn(gallery.scenes("picture")[0]))
    answer = gallery.stack.client.graphql_raw_query(
        f"""{{ Get {{ Gallery(limit: {LIMIT}, nearImage: {{image: "{query}", targetVectors: ["picture"]}}
        ) {{ _additional {{ id rerank(property: "picture", query: "{query}") {{ score }} }} }} }} }}"""
    )
    assert answer.errors is None
    found = [each["_additional"] for each in answer.get["Gallery"]]
    assert_reranked(gallery, "picture", query, [(each["id"], each["rerank"][0]["score"]) for each in found])


def test_bm25_is_reranked_on_a_picture(gallery: Gallery) -> None:
    query = "a red circle"
    found = gallery.collection.query.bm25(query, limit=LIMIT, rerank=Rerank(prop="picture", query=query))
    assert_reranked(gallery, "picture", query, scored(found.objects))


def test_hybrid_search_is_reranked_on_a_clip(gallery: Gallery) -> None:
    query = phrase(gallery.scenes("clip")[0])
    found = gallery.collection.query.hybrid(
        query, target_vector="clip", limit=LIMIT, rerank=Rerank(prop="clip", query=query)
    )
    assert_reranked(gallery, "clip", query, scored(found.objects))


def test_more_results_than_weaviate_sends_at_once_keep_their_scores(gallery: Gallery) -> None:
    query = phrase(gallery.scenes("title")[0])
    found = gallery.collection.query.near_text(
        query, target_vector="title", limit=50, rerank=Rerank(prop="title", query=query)
    )
    assert_reranked(gallery, "title", query, scored(found.objects), count=50)  # chunks of 32 and 18


@pytest.fixture
def attachments() -> list[str]:
    """Pictures, the second of which is cut off."""
    first, second, third = (picture_png(scene, 64) for scene in make_scenes(3, seed=6, kinds=("group",)))
    return [b64(first), b64(second[:100]), b64(third)]


def search_attachments(stack: Stack, attachments: list[str], query: str) -> list[Any]:
    """All of them, by a search that is reranked on the picture."""
    collection = stack.client.collections.create(
        "Attachments",
        properties=PROPERTIES,
        vector_config=Configure.Vectors.self_provided(),
        reranker_config=Configure.Reranker.transformers(),
    )
    collection.data.insert_many([{"title": "attached", "picture": picture} for picture in attachments])
    found = collection.query.bm25(
        "attached", rerank=Rerank(prop="picture", query=query), return_properties=["title", "picture"]
    )
    return found.objects


def test_document_that_cannot_be_scored_fails_the_query_by_name(bundled: Stack, attachments: list[str]) -> None:
    with pytest.raises(WeaviateQueryError, match=r"documents\[\d\]: "):
        search_attachments(bundled, attachments, "a red circle")


def test_document_that_cannot_be_scored_is_ranked_last_where_so_set(fake: Stack, attachments: list[str]) -> None:
    found = search_attachments(fake, attachments, attachments[2])
    assert [attachments.index(each.properties["picture"]) for each in found] == [2, 0, 1]
    assert [each.metadata.rerank_score for each in found][:2] == [1.0, 0.0]
    assert fake.prism.metric("prism_documents_ranked_last_total") == 1


NOTE, TAGS, YEAR = "note", "tags", "year"


@pytest.fixture(scope="module")
def notes(bundled: Stack) -> AnyCollection:
    """Objects without a picture of their own: the text of their note is a document of words and a picture."""
    collection = bundled.client.collections.create(
        "Notes",
        properties=[
            Property(name=NOTE, data_type=DataType.TEXT),
            Property(name=TAGS, data_type=DataType.TEXT_ARRAY),
            Property(name=YEAR, data_type=DataType.INT),
        ],
        vector_config=Configure.Vectors.self_provided(),
        reranker_config=Configure.Reranker.transformers(),
    )
    for number, scene in enumerate(make_scenes(4, seed=7, kinds=("group",))):
        note = json.dumps({"text": f"number {number}", "image": b64(picture_png(scene, 64))})
        collection.data.insert({NOTE: note, TAGS: ["red", "blue"], YEAR: 1900 + number}, vector=[1.0, number])
    return collection


@pytest.mark.parametrize("form", ["words", "words and a picture"])
def test_text_property_may_hold_a_document_of_words_and_a_picture(
    bundled: Stack, notes: AnyCollection, form: str
) -> None:
    scene = redrawn(make_scenes(4, seed=7, kinds=("group",))[2])
    query = phrase(scene)
    asked = query if form == "words" else json.dumps({"text": query, "image": picture(scene)})
    found = notes.query.near_vector([1.0, 0.0], rerank=Rerank(prop=NOTE, query=asked)).objects
    documents = [json.loads(str(each.properties[NOTE])) for each in found]
    parts = [[each["text"], base64.b64decode(each["image"])] for each in documents]
    asking: list[Content] = [query] if form == "words" else [query, base64.b64decode(picture(scene))]
    scores = [score for _, score in scored(found)]
    assert scores == pytest.approx(bundled.prism.scores(asking, parts), abs=1e-5)
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


@pytest.mark.parametrize("field", [TAGS, YEAR])
def test_lists_and_numbers_are_scored_as_empty_texts(bundled: Stack, notes: AnyCollection, field: str) -> None:
    """Weaviate sends nothing else of them."""
    found = notes.query.near_vector([1.0, 0.0], rerank=Rerank(prop=field, query="red"))
    scores = [each.metadata.rerank_score for each in found.objects]
    assert scores == pytest.approx(bundled.prism.rerank("red", [""] * 4), abs=1e-5)


def test_search_without_a_rerank_query_says_what_to_set(notes: AnyCollection) -> None:
    with pytest.raises(WeaviateQueryError, match="status 400: query: is empty; set `query` in the rerank argument"):
        notes.query.near_vector([1.0, 0.0], rerank=Rerank(prop=NOTE))
