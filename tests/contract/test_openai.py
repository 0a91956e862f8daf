"""POST /v1/embeddings, as OpenAI's clients use it."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from contract.doors import DOORS
from contract.running import InProcess, recorded
from weaviate_prism.values import Priority, Target, Task

DOOR = DOORS["openai"]


def post(http: httpx.Client, input: Any, **more: Any) -> httpx.Response:
    return http.post("/v1/embeddings", json={"input": input, "model": "fake", **more})


def vectors(response: httpx.Response) -> list[list[float]]:
    assert response.status_code == 200, response.text
    return [each["embedding"] for each in response.json()["data"]]


def test_texts_get_the_vectors_of_the_other_doors(http: httpx.Client) -> None:
    other = http.post("/vectorize", json={"texts": ["a", "b", ""]}).json()["textVectors"]
    assert vectors(post(http, ["a", "b", ""])) == other
    assert vectors(post(http, "a")) == other[:1]


def test_the_answer_has_all_that_clients_read(http: httpx.Client) -> None:
    answer = post(http, ["a", "b"]).json()
    assert set(answer) == {"object", "data", "model", "usage"}
    assert (answer["object"], answer["model"]) == ("list", "fake")
    assert answer["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert [(each["object"], each["index"]) for each in answer["data"]] == [("embedding", 0), ("embedding", 1)]


def test_base64_is_float32_little_endian(http: httpx.Client) -> None:
    """OpenAI's own client asks for it, and decodes it just so."""
    texts = [f"text {number}" for number in range(20)]
    encoded = vectors(post(http, texts, encoding_format="base64"))
    decoded = [np.frombuffer(base64.b64decode(each), "<f4").tolist() for each in encoded]  # type: ignore[arg-type]
    assert decoded == vectors(post(http, texts, encoding_format="float"))


def test_dimensions_and_model_are_handed_on(service: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = recorded(service, monkeypatch, "vectorize")
    assert [len(each) for each in vectors(post(service.http, ["a"], dimensions=8, user="me"))] == [8]
    assert calls[0]["targets"] == [Target(model="fake", dimensions=8)]


def test_one_text_alone_has_the_priority_of_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess(stock_prompt="query") as running:
        calls = recorded(running, monkeypatch, "vectorize")
        vectors(post(running.http, "a"))
        vectors(post(running.http, ["a", "b"]))
    assert [call["priority"] for call in calls] == [Priority.QUERY, Priority.BULK]
    assert {call["task"] for call in calls} == {Task.QUERY}


def test_every_bad_text_is_named(http: httpx.Client) -> None:
    message = DOOR.message(post(http, ["a", "x" * 20_000, "y" * 20_000]), 413)
    assert message.startswith("input[1], input[2]: ")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"input": []}, "nothing to vectorize: input is empty"),
        ({"model": "fake"}, "the body: Object missing required field `input`"),
        ({"input": [1, 2, 3]}, "input[0]: Expected `str`, got `int`"),
        ({"input": [[1, 2], [3]]}, "input[0]: Expected `str`, got `array`"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format: Invalid enum value 'int8'"),
        ({"input": "a", "dimensions": 999}, "dimensions: "),
        ({"input": "a", "dimensions": -1}, "dimensions: "),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, body: dict[str, Any], says: str) -> None:
    assert DOOR.message(http.post("/v1/embeddings", json=body), 400).startswith(says)


@pytest.mark.parametrize(
    ("status", "code", "more"), [(404, "model_not_found", {"model": "other"}), (400, None, {"input": []})]
)
def test_errors_have_the_codes_that_clients_know(
    http: httpx.Client, status: int, code: str | None, more: dict[str, Any]
) -> None:
    response = post(http, **{"input": "a", **more})
    assert response.json()["error"]["code"] == code
    assert response.status_code == status
