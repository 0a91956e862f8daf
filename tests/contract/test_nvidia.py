"""POST /v1/retrieval/nvidia/reranking, as reranker-nvidia uses it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from contract.running import InProcess, recorded
from contract.samples import b64, clip, picture
from contract.test_vectorize import refused

PATH = "/v1/retrieval/nvidia/reranking"
RED, CLIP = b64(picture("red")), b64(clip())


def post(http: httpx.Client, query: str, documents: list[str] | None, **more: Any) -> httpx.Response:
    passages = None if documents is None else [{"text": document} for document in documents]
    body = {"model": "nvidia/rerank-qa-mistral-4b", "query": {"text": query}, "passages": passages}
    return http.post(PATH, json={**body, **more})


def rankings(response: httpx.Response) -> list[tuple[int, float]]:
    assert response.status_code == 200, response.text
    return [(each["index"], each["logit"]) for each in response.json()["rankings"]]


def test_every_passage_has_its_score_under_its_index(http: httpx.Client) -> None:
    documents = ["a", "b", RED, CLIP, "", "q a", "a"]
    found = rankings(post(http, "q a", documents))
    other = http.post("/rerank", json={"query": "q a", "documents": documents}).json()["scores"]
    assert dict(found) == {number: each["score"] for number, each in enumerate(other)}


def test_the_best_come_first(http: httpx.Client) -> None:
    assert rankings(post(http, "a b", ["b", "c", "a b"], truncate="END")) == [(2, 1.0), (0, 0.5), (1, 0.0)]


def test_the_model_of_the_collection_is_handed_on(service: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = recorded(service, monkeypatch, "rerank")
    rankings(post(service.http, "a", ["a"], model="fake"))
    rankings(post(service.http, "a", ["a"]))
    assert [call["model"] for call in calls] == ["fake", ""]


def test_errors_have_a_status_whose_text_the_module_reads(http: httpx.Client) -> None:
    """Of 400, 413 and 404 it tells users nothing, and of 422 that it is not a list."""
    assert "passages[1]: " in refused(post(http, "q", ["a", b64(picture("red")[:40])]), 403)
    assert "10000" in refused(post(http, "q", ["x" * 20_000]), 403)
    assert "'fake'" in refused(post(http, "q", ["a"], model="other"), 403)
    assert "query: " in refused(post(http, "", ["a"]), 403)


@pytest.mark.parametrize("documents", [[], None])
def test_no_passages_no_rankings(http: httpx.Client, documents: list[str] | None) -> None:
    assert rankings(post(http, "", documents)) == []


@pytest.mark.parametrize("body", [{}, {"query": "q", "passages": []}, {"query": {"text": "q"}, "passages": ["a"]}])
def test_a_wrong_body_is_refused(http: httpx.Client, body: dict[str, Any]) -> None:
    refused(http.post(PATH, json=body), 403)
