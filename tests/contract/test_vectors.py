"""POST /vectors, as text2vec-transformers and img2vec-neural use it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from contract.running import InProcess, recorded
from contract.samples import b64, clip, picture
from contract.test_vectorize import refused
from weaviate_prism.values import Priority, Target, Task

RED = b64(picture("red"))
SEARCH, STORED = "search_1763767000000000000", "9a0f5b1c-3f3e-4d29-8f0a-1f5b3f3e4d29_0"


def post(http: httpx.Client, **body: Any) -> httpx.Response:
    """As both modules send it: without a Content-Type."""
    return http.post("/vectors", content=json.dumps(body).encode())


def of_text(text: str, **config: Any) -> dict[str, Any]:
    """A body of text2vec-transformers, which has the fields of an answer too."""
    config = {"pooling_strategy": "masked_mean", **config}
    return {"text": text, "dims": 0, "vector": None, "error": "", "config": config}


def vector(response: httpx.Response) -> list[float]:
    """Once the two lengths are whole numbers, for Go, and true."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer["dim"] == answer["dims"] == len(answer["vector"])
    assert f'"dim":{answer["dim"]},"dims":{answer["dims"]}' in response.text
    assert np.linalg.norm(answer["vector"]) == pytest.approx(1, abs=1e-5)
    found: list[float] = answer["vector"]
    return found


def test_a_text_and_a_picture_get_the_vectors_of_the_other_doors(http: httpx.Client) -> None:
    other = http.post("/vectorize", json={"texts": ["a", ""], "images": [RED]}).json()
    assert vector(post(http, **of_text("a"))) == other["textVectors"][0]
    assert vector(post(http, **of_text(""))) == other["textVectors"][1]
    assert vector(post(http, id=STORED, image=RED)) == other["imageVectors"][0]
    assert vector(post(http, id=STORED, image=f"data:image/jpeg;base64,{RED}")) == other["imageVectors"][0]


@pytest.mark.parametrize(
    ("body", "task", "priority"),
    [
        (of_text("a", task_type="passage"), Task.DOCUMENT, Priority.BULK),
        (of_text("a", task_type="query"), Task.QUERY, Priority.QUERY),
        ({"id": STORED, "image": RED}, Task.DOCUMENT, Priority.BULK),
        ({"id": SEARCH, "image": RED}, Task.QUERY, Priority.QUERY),
    ],
)
def test_queries_and_documents_are_told_apart(
    service: InProcess, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], task: Task, priority: Priority
) -> None:
    calls = recorded(service, monkeypatch, "vectorize")
    vector(post(service.http, **body))
    assert [(call["task"], call["priority"]) for call in calls] == [(task, priority)]


@pytest.mark.parametrize("config", [None, {}, {"pooling_strategy": "cls"}])
@pytest.mark.parametrize("prompt", ["document", "query"])
def test_without_a_task_it_is_the_prompt_of_stock_modules(
    monkeypatch: pytest.MonkeyPatch, prompt: str, config: dict[str, Any] | None
) -> None:
    with InProcess(stock_prompt=prompt) as running:
        calls = recorded(running, monkeypatch, "vectorize")
        vector(post(running.http, text="a", config=config))
    assert [call["task"] for call in calls] == [prompt]


def test_dimensions_are_cut_and_normalised_again(service: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = recorded(service, monkeypatch, "vectorize")
    whole = np.array(vector(post(service.http, **of_text("a", task_type="query"))))
    cut = vector(post(service.http, **of_text("a", task_type="query", dimensions=8)))
    np.testing.assert_allclose(cut, whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6)
    assert calls[1]["targets"] == [Target(dimensions=8)]


def test_more_dimensions_than_there_are_is_an_error(http: httpx.Client) -> None:
    message = refused(post(http, **of_text("a", dimensions=999)), 400)
    assert message.startswith("dimensions: ")
    assert "32" in message


def test_pooling_is_ignored_and_meta_says_so(http: httpx.Client) -> None:
    body = of_text("a")
    body["config"]["pooling_strategy"] = "cls"
    assert vector(post(http, **body)) == vector(post(http, **of_text("a")))
    assert "pooling_strategy" in http.get("/meta").json()["notes"][0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "the body: must have either text or image"),
        ({"id": SEARCH}, "the body: must have either text or image"),
        ({"text": None, "image": None}, "the body: must have either text or image"),
        ({"text": "a", "image": RED}, "the body: must have either text or image"),
        ({"texts": ["a"]}, 'the body: must have either text or image; not known: "texts"'),
        ({"text": ["a"]}, "text: Expected `str | null`, got `array`"),
        (of_text("a", task_type="search"), "config.task_type: Invalid enum value 'search'"),
        (of_text("a", dimensions=8.5), "config.dimensions: Expected `int | null`, got `float`"),
        ({"image": b64(clip())}, "image: "),
        ({"image": "a.png"}, "image: a file name"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, body: dict[str, Any], says: str) -> None:
    assert refused(post(http, **body), 400).startswith(says)
