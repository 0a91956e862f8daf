"""What GraphQL's `rerank` can be told beyond gRPC's: a picture, a clip, several properties."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from contract.samples import clip
from e2e.native.shelf import assert_ranked, shelf
from objects import b64, jpeg
from servers import Content, Stack

BLUE, RED = b64(jpeg("blue")), b64(jpeg("red"))
CLIP = b64(clip())


@pytest.fixture(scope="module", autouse=True)
def collections(fake: Stack) -> None:
    shelf(fake, "Shelf")
    shelf(fake, "Bare", {})


def ask(stack: Stack, arguments: str, *, search: str = 'bm25: {query: "thing"}', collection: str = "Shelf") -> Any:
    """The answer to a search; an empty string for no arguments of `rerank`."""
    query = f"""{{ Get {{ {collection}(limit: 10, {search}) {{
        title _additional {{ id rerank{arguments} {{ score }} }} }} }} }}"""
    return stack.client.graphql_raw_query(query)


def ranked(stack: Stack, arguments: str, **where: str) -> dict[str, float]:
    answer = ask(stack, arguments, **where)
    assert answer.errors is None, answer.errors
    (found,) = answer.get.values()
    assert all(each.keys() == {"title", "_additional"} for each in found)
    return {each["_additional"]["id"]: each["_additional"]["rerank"][0]["score"] for each in found}


ALL = ("title", "tags", "picture", "clip")


@pytest.mark.parametrize(
    ("arguments", "query", "fields"),
    [
        ('(query: "red sail wheels")', ["red sail wheels"], ALL),
        (f'(image: "{BLUE}")', [jpeg("blue")], ALL),
        (f'(video: "{CLIP}")', [clip()], ALL),
        (f'(query: "red", image: "{BLUE}", video: "{CLIP}")', ["red", jpeg("blue"), clip()], ALL),
        ('(query: "red sail", properties: ["title"])', ["red sail"], ["title"]),
        (f'(image: "{BLUE}", properties: ["title", "picture"])', [jpeg("blue")], ["title", "picture"]),
        ('(query: "red sail", properties: "tags")', ["red sail"], ["tags"]),
        ('(query: "red sail", property: "title")', ["red sail"], ALL),
    ],
    ids=["query", "image", "video", "all of them", "properties", "two properties", "one property", "property"],
)
def test_arguments_say_what_is_ranked_by_what(
    fake: Stack, arguments: str, query: list[Content], fields: list[str]
) -> None:
    assert_ranked(fake.prism, ranked(fake, arguments), query, fields)


@pytest.mark.parametrize(
    ("search", "query"),
    [
        ('nearText: {concepts: ["red sail"]}', ["red sail"]),
        (f'nearImage: {{image: "{BLUE}"}}', [jpeg("blue")]),
        (f'nearVideo: {{video: "{CLIP}"}}', [clip()]),
    ],
    ids=["nearText", "nearImage", "nearVideo"],
)
def test_without_arguments_a_search_is_ranked_by_what_it_looks_for(
    fake: Stack, search: str, query: list[Content]
) -> None:
    assert_ranked(fake.prism, ranked(fake, "", search=search), query)


def test_hybrid_search_with_a_near_text_of_its_own_is_ranked(fake: Stack) -> None:
    search = 'hybrid: {query: "thing", searches: {nearText: {concepts: ["red"]}}}'
    assert_ranked(fake.prism, ranked(fake, '(query: "red sail")', search=search), ["red sail"])


def test_without_configured_fields_the_properties_of_the_search_are_ranked(fake: Stack) -> None:
    found = ranked(fake, f'(image: "{RED}", properties: ["picture", "title"])', collection="Bare")
    assert_ranked(fake.prism, found, [jpeg("red")], ["picture", "title"])


@pytest.mark.parametrize(
    ("arguments", "collection", "named"),
    [
        ("", "Shelf", "query is missing"),
        ('(query: "red", properties: ["kind"])', "Shelf", "kind"),
        ('(query: "red", properties: ["titel"])', "Bare", "titel"),
        ('(query: "red", properties: ["title", "title"])', "Bare", "twice"),
        ('(query: "red")', "Bare", "nothing to rank"),
        ('(image: "not base64!")', "Shelf", "image"),
    ],
    ids=["no query", "not configured", "no such property", "twice", "nothing to rank", "not base64"],
)
def test_arguments_that_make_no_sense_are_refused_by_name(
    fake: Stack, arguments: str, collection: str, named: str
) -> None:
    answer = ask(fake, arguments, collection=collection)
    assert answer.errors
    assert named in json.dumps(answer.errors)


def test_variables_are_refused_since_modules_do_not_see_their_values(fake: Stack) -> None:
    query = """query($asked: String) { Get { Shelf(bm25: {query: "thing"}) {
        _additional { rerank(query: $asked) { score } } } } }"""
    body = {"query": query, "variables": {"asked": "red"}}
    answer = httpx.post(f"{fake.weaviate.url}/v1/graphql", json=body, timeout=30).json()
    assert "variable" in json.dumps(answer["errors"])
    assert "asked" in json.dumps(answer["errors"])
