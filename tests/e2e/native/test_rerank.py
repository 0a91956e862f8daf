"""Searches by gRPC are reranked over all fields of the collection's config, whatever Weaviate has read of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from weaviate.classes.query import NearMediaType, Rerank
from weaviate.exceptions import WeaviateQueryError

from contract.samples import clip
from e2e.native.paths import PATHS
from e2e.native.shelf import FIELDS, IDS, PROPERTIES, assert_ranked, scored, shelf
from e2e.native.test_import import BAD_PICTURE
from objects import AnyCollection, b64, jpeg, padded_jpeg, prism_reranker, prism_vector
from servers import Content, Stack

SEARCHES: Mapping[str, Callable[..., Any]] = {
    "near_text": lambda query, **options: query.near_text("a thing", **options),
    "near_image": lambda query, **options: query.near_image(b64(jpeg("white")), **options),
    "near_video": lambda query, **options: query.near_media(b64(clip()), NearMediaType.VIDEO, **options),
    "near_object": lambda query, **options: query.near_object(IDS["ship"], **options),
    "near_vector": lambda query, **options: query.near_vector([0.5] * 32, **options),
    "bm25": lambda query, **options: query.bm25("thing", **options),
    "hybrid": lambda query, **options: query.hybrid("a thing", **options),
}
QUERIES: Mapping[str, tuple[str, list[Content]]] = {
    "text of title and tags": ("red sail wheels", ["red sail wheels"]),
    "picture": (f"data:image/jpeg;base64,{b64(jpeg('blue'))}", [jpeg("blue")]),
    "clip": (f"data:video/mp4;base64,{b64(clip())}", [clip()]),
}


@pytest.fixture(scope="module")
def things(fake: Stack) -> AnyCollection:
    return shelf(fake, "Things")


@pytest.fixture(scope="module")
def plain(fake: Stack) -> AnyCollection:
    """Without fields in the reranker's config."""
    return shelf(fake, "Plain", {})


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_is_reranked_over_all_configured_fields(
    fake: Stack, things: AnyCollection, search: str, query: str
) -> None:
    argument, parts = QUERIES[query]
    found = SEARCHES[search](things.query, rerank=Rerank(prop="title", query=argument), return_properties=["title"])
    assert_ranked(fake.prism, scored(found.objects), parts)


@pytest.mark.parametrize(
    ("field", "query", "best"),
    [
        ("title", "green tree", "green tree"),
        ("tags", "four wheels red", "red car"),
        ("picture", QUERIES["picture"][0], "red car"),
        ("clip", QUERIES["clip"][0], "ship"),
    ],
)
def test_without_configured_fields_the_searchs_property_is_ranked(
    plain: AnyCollection, field: str, query: str, best: str
) -> None:
    found = plain.query.near_text("a thing", rerank=Rerank(prop=field, query=query), return_properties=["kind"])
    scores = scored(found.objects)
    assert next(iter(scores)) == IDS[best]
    assert scores.keys() == set(IDS.values())
    assert scores[IDS[best]] > max(score for uuid, score in scores.items() if uuid != IDS[best])


def test_property_that_is_not_among_the_configured_fields_is_refused(things: AnyCollection) -> None:
    with pytest.raises(WeaviateQueryError, match='property "kind" is not among the fields of reranker-prism in Things'):
        things.query.near_text("a thing", rerank=Rerank(prop="kind", query="red"))


@pytest.mark.parametrize(
    ("search", "asked"),
    [
        (lambda query, **options: query.near_text(["red sail", "wheels"], **options), ["red sail, wheels"]),
        (lambda query, **options: query.near_image(b64(jpeg("blue")), **options), [jpeg("blue")]),
        (lambda query, **options: query.near_media(b64(clip()), NearMediaType.VIDEO, **options), [clip()]),
    ],
    ids=["near_text", "near_image", "near_video"],
)
def test_what_a_search_looks_for_is_the_query_where_none_is_given(
    fake: Stack, things: AnyCollection, search: Callable[..., Any], asked: list[Content]
) -> None:
    found = search(things.query, rerank=Rerank(prop="title"))
    assert_ranked(fake.prism, scored(found.objects), asked)


@pytest.mark.parametrize("search", ["near_object", "near_vector", "bm25", "hybrid"])
def test_search_that_tells_no_query_asks_for_one(things: AnyCollection, search: str) -> None:
    with pytest.raises(WeaviateQueryError, match="query is missing"):
        SEARCHES[search](things.query, rerank=Rerank(prop="title"))


@pytest.mark.parametrize("search", SEARCHES)
def test_reranking_leaves_no_blob_in_the_results(things: AnyCollection, search: str) -> None:
    rerank = Rerank(prop="picture", query="red")
    for found in SEARCHES[search](things.query, rerank=rerank).objects:
        assert not found.properties.keys() & {"picture", "clip"}
    for found in SEARCHES[search](things.query, rerank=rerank, return_properties=["kind"]).objects:
        assert found.properties == {"kind": "thing"}


def test_blob_that_is_asked_for_is_returned(things: AnyCollection) -> None:
    found = things.query.near_text(
        "ship", limit=1, rerank=Rerank(prop="picture", query="ship"), return_properties=["picture"]
    )
    (first,) = found.objects
    assert first.properties == {"picture": b64(jpeg("yellow"))}


def test_equal_scores_keep_the_order_of_the_search(things: AnyCollection) -> None:
    found = [str(each.uuid) for each in things.query.near_text("green ship").objects]
    reranked = things.query.near_text("green ship", rerank=Rerank(prop="title", query="nothing"))
    assert scored(reranked.objects) == dict.fromkeys(found, 0.0)
    assert [str(each.uuid) for each in reranked.objects] == found


def test_more_media_than_fit_into_one_message_keep_their_scores(fake: Stack) -> None:
    collection = fake.client.collections.create(
        "Heavy",
        properties=PROPERTIES,
        vector_config=prism_vector(textFields=["title"]),
        reranker_config=prism_reranker(textFields=["title"], imageFields=["picture"]),
    )
    count, size = 100, 60_000  # 6 MB, above the 2.5 MB of a message
    objects = {
        str(uuid.uuid4()): {"title": f"number {number}", "picture": b64(padded_jpeg(number, size))}
        for number in range(count)
    }
    assert PATHS["fixed_size"](fake, collection, objects) == {}
    before = fake.prism.metric("prism_requests_total", door="grpc Rerank")
    found = collection.query.near_text("number", limit=count, rerank=Rerank(prop="title", query="number 42"))
    assert fake.prism.metric("prism_requests_total", door="grpc Rerank") >= before + 2
    assert found.objects[0].properties["title"] == "number 42"
    assert sorted(scored(found.objects).values()) == [0.5] * (count - 1) + [1.0]


def test_document_that_cannot_be_scored_fails_the_query_by_its_id(fake: Stack) -> None:
    collection = shelf(fake, "Attachments", {"textFields": ["title"], "imageFields": ["picture"]})
    bad = str(collection.data.insert({"title": "torn", "picture": BAD_PICTURE}))
    with pytest.raises(WeaviateQueryError, match=bad):
        collection.query.near_text("red", rerank=Rerank(prop="title", query="red"))


def test_query_that_cannot_be_read_is_an_error(things: AnyCollection) -> None:
    with pytest.raises(WeaviateQueryError, match="query"):
        things.query.near_text("red", rerank=Rerank(prop="title", query=f"data:image/jpeg;base64,{BAD_PICTURE}"))


def test_reranker_of_a_model_that_is_not_loaded_is_refused_by_name(fake: Stack) -> None:
    collection = shelf(fake, "OtherReranker", {**FIELDS, "model": "another-model"})
    with pytest.raises(WeaviateQueryError, match="another-model"):
        collection.query.near_text("red", rerank=Rerank(prop="title", query="red"))
