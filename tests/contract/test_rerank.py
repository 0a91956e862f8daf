"""POST /rerank, as reranker-transformers uses it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from contract.running import InProcess
from contract.samples import b64, clip, picture
from contract.test_vectorize import refused

RED, BLUE, CLIP = b64(picture("red")), b64(picture("blue")), b64(clip())


def post(http: httpx.Client, query: Any, documents: Any) -> httpx.Response:
    """As Weaviate sends it: without a Content-Type, `property` always empty."""
    body = {"query": query, "documents": documents, "property": ""}
    return http.post("/rerank", content=json.dumps(body).encode())


def scores(http: httpx.Client, query: str, documents: list[str]) -> list[float]:
    response = post(http, query, documents)
    assert response.status_code == 200, response.text
    return [entry["score"] for entry in response.json()["scores"]]


def test_scores_come_back_in_request_order(http: httpx.Client) -> None:
    documents = ["a", "b", RED, CLIP, "", "a"]
    together = scores(http, "q", documents)
    assert together == [scores(http, "q", [document])[0] for document in documents]
    assert together[0] == together[5]


def test_a_picture_can_be_document_and_query_in_any_spelling(http: httpx.Client) -> None:
    uri = f"data:image/png;base64,{RED}"
    assert len(set(scores(http, "q", [RED, uri]))) == 1
    assert scores(http, RED, ["a", BLUE]) == scores(http, uri, ["a", BLUE])


def test_text_that_looks_like_base64_stays_text(http: httpx.Client) -> None:
    assert len(scores(http, "q", ["word", "ab" * 32, "QUJD"])) == 3


def test_empty_documents_are_scored(http: httpx.Client) -> None:
    """Weaviate sends "" for null, numbers and lists."""
    assert len(scores(http, "q", ["", ""])) == 2


@pytest.mark.parametrize("documents", [[], None])
def test_no_documents_no_scores(http: httpx.Client, documents: list[str] | None) -> None:
    response = post(http, "", documents)
    assert (response.status_code, response.json()) == (200, {"scores": []})


def test_an_empty_query_says_what_to_set(http: httpx.Client) -> None:
    message = refused(post(http, "", ["a"]), 400)
    assert message.startswith("query: ")
    assert "rerank" in message


def test_every_bad_document_is_named(http: httpx.Client) -> None:
    truncated = b64(picture("red")[:40])
    message = refused(post(http, "q", ["a", "data:image/png;base64,!!!", RED, truncated]), 400)
    assert "documents[1]: " in message
    assert "documents[3]: " in message
    assert "documents[0]" not in message
    assert "documents[2]" not in message


def test_a_bad_query_is_named(http: httpx.Client) -> None:
    assert refused(post(http, "data:image/png;base64,!!!", ["a"]), 400).startswith("query: ")
    assert refused(post(http, b64(picture("red")[:40]), ["a"]), 400).startswith("query: ")


def test_a_bad_document_can_be_ranked_last_instead() -> None:
    with InProcess(rerank_bad_document="last") as running:
        bad = ["data:image/png;base64,!!!", b64(picture("red")[:40])]
        result = scores(running.http, "q", ["a", *bad, RED])
        assert max(result[1:3]) < min(result[0], result[3])
        assert running.metric("prism_documents_ranked_last_total") == 2


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"query":"q"}', b'{"query":5,"documents":[]}', b'{"query":"q","documents":"a"}', b"[]", b"{", b"\xff"],
)
def test_a_wrong_body_is_refused(http: httpx.Client, body: bytes) -> None:
    refused(http.post("/rerank", content=body), 400)


def test_where_a_key_is_missing_a_misspelt_one_is_named(http: httpx.Client) -> None:
    message = refused(http.post("/rerank", json={"query": "x", "docs": ["y"]}), 400)
    assert message.endswith('`documents`; not known: "docs"')
