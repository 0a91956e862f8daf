"""POST /v2/rerank, as reranker-cohere uses it, and plain clients."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from contract.running import InProcess, recorded
from contract.samples import b64, clip, picture
from contract.test_vectorize import refused

RED, CLIP = b64(picture("red")), b64(clip())


def post(http: httpx.Client, query: Any, documents: Any, **more: Any) -> httpx.Response:
    body = {"documents": documents, "query": query, "model": "rerank-v3.5", "return_documents": False}
    return http.post("/v2/rerank", json={**body, **more})


def results(response: httpx.Response) -> list[tuple[int, float]]:
    assert response.status_code == 200, response.text
    return [(each["index"], each["relevance_score"]) for each in response.json()["results"]]


def test_every_document_has_its_score_under_its_index(http: httpx.Client) -> None:
    documents = ["a", "b", RED, CLIP, "", "q a", "a"]
    found = results(post(http, "q a", documents))
    other = http.post("/rerank", json={"query": "q a", "documents": documents}).json()["scores"]
    assert dict(found) == {number: each["score"] for number, each in enumerate(other)}


def test_the_best_come_first_and_equals_in_request_order(http: httpx.Client) -> None:
    assert results(post(http, "a b", ["b", "c", "a b", "a"])) == [(2, 1.0), (0, 0.5), (3, 0.5), (1, 0.0)]


def test_other_clients_may_ask_for_the_best_only(http: httpx.Client) -> None:
    assert results(post(http, "a b", ["b", "c", "a b"], top_n=2)) == [(2, 1.0), (0, 0.5)]
    assert len(results(post(http, "a b", ["b", "c", "a b"], top_n=9))) == 3
    assert refused(post(http, "a", ["a"], top_n=0), 400).startswith("top_n: ")


def test_a_thousand_documents_are_one_request() -> None:
    with InProcess() as running:
        found = results(post(running.http, "a", ["a", "b"] * 500))
    assert sorted(dict(found)) == list(range(1000))
    assert [number for number, score in found if score] == list(range(0, 1000, 2))


def test_the_model_of_the_collection_is_handed_on(service: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = recorded(service, monkeypatch, "rerank")
    results(post(service.http, "a", ["a"], model="fake"))
    results(post(service.http, "a", ["a"]))
    assert [call["model"] for call in calls] == ["fake", ""]


def test_a_query_may_be_a_picture(http: httpx.Client) -> None:
    assert results(post(http, RED, ["a", RED])) == [(1, 1.0), (0, 0.0)]


def test_every_bad_document_is_named(http: httpx.Client) -> None:
    message = refused(post(http, "q", ["a", b64(picture("red")[:40]), "data:image/png;base64,!!!"]), 400)
    assert "documents[1]: " in message
    assert "documents[2]: " in message
    assert "documents[0]" not in message


@pytest.mark.parametrize("documents", [[], None])
def test_no_documents_no_results(http: httpx.Client, documents: list[str] | None) -> None:
    assert results(post(http, "", documents)) == []


@pytest.mark.parametrize("body", [{}, {"query": "q"}, {"query": "q", "documents": ["a"], "model": 1}])
def test_a_wrong_body_is_refused(http: httpx.Client, body: dict[str, Any]) -> None:
    refused(http.post("/v2/rerank", json=body), 400)
