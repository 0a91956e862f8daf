"""POST /v1/multimodalembeddings, as multi2vec-voyageai uses it."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from contract.running import InProcess, recorded
from contract.samples import b64, clip, picture
from contract.test_vectorize import refused
from weaviate_prism.values import Priority, Target, Task

RED, CLIP = b64(picture("red")), b64(clip())
# The module labels every picture as PNG and every clip as MP4.
PICTURE = {"type": "image_base64", "image_base64": f"data:image/png;base64,{b64(picture('blue', 'JPEG'))}"}
FILM = {"type": "video_base64", "video_base64": f"data:video/mp4;base64,{CLIP}"}


def text(text: str) -> dict[str, str]:
    """As Go writes it: without a key that is empty."""
    return {"type": "text", "text": text} if text else {"type": "text"}


def post(
    http: httpx.Client, *contents: dict[str, str], path: str = "/v1/multimodalembeddings", **more: Any
) -> httpx.Response:
    """One content per input, as the module does it."""
    body = {"inputs": [{"content": [content]} for content in contents], "truncation": True, "input_type": "document"}
    return http.post(path, json={**body, "model": "voyage-multimodal-3", **more})


def vectors(response: httpx.Response) -> list[list[float]]:
    assert response.status_code == 200, response.text
    return [each["embedding"] for each in response.json()["data"]]


def test_vectors_are_in_the_order_of_the_inputs(http: httpx.Client) -> None:
    other = http.post(
        "/vectorize", json={"texts": ["a", ""], "images": [b64(picture("blue", "JPEG"))], "video": [CLIP]}
    ).json()
    found = vectors(post(http, text("a"), text(""), PICTURE, FILM))
    assert found == [*other["textVectors"], *other["imageVectors"], *other["videoVectors"]]


@pytest.mark.parametrize("path", ["/multimodalembeddings", "//multimodalembeddings", "/v1//multimodalembeddings"])
def test_a_base_address_may_end_in_v1_or_a_slash(http: httpx.Client, path: str) -> None:
    url = http.base_url.copy_with(raw_path=path.encode())
    assert vectors(post(http, text("a"), path=str(url))) == vectors(post(http, text("a")))


def test_the_answer_has_all_that_clients_read(http: httpx.Client) -> None:
    answer = post(http, text("a"), text("b")).json()
    usage = ("text_tokens", "image_pixels", "video_pixels", "total_tokens")
    assert (answer["object"], answer["usage"]) == ("list", dict.fromkeys(usage, 0))
    assert [(each["object"], each["index"]) for each in answer["data"]] == [("embedding", 0), ("embedding", 1)]


@pytest.mark.parametrize(
    ("asked", "task", "priority"),
    [
        ("query", Task.QUERY, Priority.QUERY),
        ("document", Task.DOCUMENT, Priority.BULK),
        (None, Task.DOCUMENT, Priority.QUERY),  # as at /vectorize: one text alone
    ],
)
def test_queries_and_documents_are_told_apart(
    service: InProcess, monkeypatch: pytest.MonkeyPatch, asked: str | None, task: Task, priority: Priority
) -> None:
    calls = recorded(service, monkeypatch, "vectorize")
    vectors(post(service.http, text("a"), input_type=asked))
    assert [(call["task"], call["priority"]) for call in calls] == [(task, priority)]


def test_the_model_and_dimensions_are_handed_on(service: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = recorded(service, monkeypatch, "vectorize")
    response = post(service.http, text("a"), model="fake", output_dimension=8)
    assert [len(vector) for vector in vectors(response)] == [8]
    assert calls[0]["targets"] == [Target(model="fake", dimensions=8)]


def test_several_contents_make_one_vector(http: httpx.Client) -> None:
    body = {"inputs": [{"content": [text("a"), PICTURE]}, {"content": [PICTURE]}]}
    together, alone = vectors(http.post("/v1/multimodalembeddings", json=body))
    assert together != alone
    assert np.linalg.norm(together) == pytest.approx(1, abs=1e-5)


def test_every_bad_content_is_named(http: httpx.Client) -> None:
    cut = {"type": "image_base64", "image_base64": b64(picture("red")[:40])}
    url = {"type": "image_url", "image_url": "https://example.org/a.png"}
    bad = {"type": "video_base64", "video_base64": "data:video/mp4;base64,!!!"}
    body = {"inputs": [{"content": each} for each in ([text("a")], [text("a"), cut], [text("a"), url], [bad], [])]}
    message = refused(http.post("/v1/multimodalembeddings", json=body), 422)
    assert "inputs[0]" not in message
    assert "inputs[1]: content[1]: the PNG picture cannot be decoded" in message
    assert "inputs[2]: content[1]: image_url cannot be vectorized by this service" in message
    assert "inputs[3]: neither base64 nor a data URI with base64" in message
    assert "inputs[4]: has no parts" in message


def test_a_picture_may_come_bare_or_with_any_label(http: httpx.Client) -> None:
    spellings = [RED, f"data:image/png;base64,{RED}", f"data:image/webp;base64,{RED}"]
    found = vectors(post(http, *({"type": "image_base64", "image_base64": each} for each in spellings)))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "nothing to vectorize: inputs is empty"),
        ({"inputs": []}, "nothing to vectorize: inputs is empty"),
        ({"input": ["a"]}, 'nothing to vectorize: inputs is empty; not known: "input"'),
        ({"inputs": [{"content": [{"text": "a"}]}]}, "inputs[0].content[0]: Object missing required field `type`"),
        ({"inputs": [{"content": [text("a")]}], "input_type": "passage"}, "input_type: Invalid enum value 'passage'"),
    ],
)
def test_a_wrong_body_is_refused(http: httpx.Client, body: dict[str, Any], says: str) -> None:
    assert refused(http.post("/v1/multimodalembeddings", json=body), 400).startswith(says)
