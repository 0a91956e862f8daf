"""POST /vectorize, as multi2vec-bind and multi2vec-clip use it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from contract.running import InProcess, recorded
from contract.samples import b64, clip, picture
from weaviate_prism.models.fake import FAIL
from weaviate_prism.values import Priority, Task

RED, BLUE, CLIP = b64(picture("red")), b64(picture("blue")), b64(clip())


def post(http: httpx.Client, path: str = "/vectorize", /, **body: Any) -> httpx.Response:
    """As Weaviate sends it: without a Content-Type."""
    return http.post(path, content=json.dumps(body).encode())


def refused(response: httpx.Response, status: int) -> str:
    """The message of an error, which is the same string under every key that a module reads."""
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["error", "detail", "message", "title"]
    assert len(set(body.values())) == 1
    message = body["error"]
    assert isinstance(message, str)
    assert "Traceback" not in message
    return message


def test_every_input_gets_a_unit_vector_under_its_own_key(http: httpx.Client) -> None:
    response = post(http, texts=["a", "b"], images=[RED], video=[CLIP])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    vectors = response.json()
    assert [len(vectors[key]) for key in ("textVectors", "imageVectors", "videoVectors")] == [2, 1, 1]
    every = np.array([vector for key in vectors for vector in vectors[key]])
    np.testing.assert_allclose(np.linalg.norm(every, axis=1), 1, atol=1e-5)


def test_numbers_are_the_float32_that_were_computed(http: httpx.Client) -> None:
    vector = np.array(post(http, texts=["a"]).json()["textVectors"][0])
    assert (vector == vector.astype(np.float32)).all()


def test_a_vector_does_not_depend_on_its_neighbours(http: httpx.Client) -> None:
    alone = post(http, images=[RED]).json()["imageVectors"][0]
    among = post(http, texts=["x"], images=[BLUE, RED], video=[CLIP]).json()["imageVectors"]
    assert among[1] == alone
    assert among[0] != alone


@pytest.mark.parametrize("path", ["/vectorize", "//vectorize", "/vectorize/", "//vectorize//"])
def test_slashes_that_weaviate_adds_do_not_matter(http: httpx.Client, path: str) -> None:
    # httpx would merge the slashes of a relative path with the base address
    response = http.post(http.base_url.copy_with(raw_path=path.encode()), content=b'{"texts":["a"]}')
    assert response.status_code == 200


@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", "application/x-www-form-urlencoded", "x"])
def test_any_content_type_is_taken(http: httpx.Client, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    assert http.post("/vectorize", content=b'{"texts":["a"]}', headers=headers).status_code == 200


def test_a_body_in_chunks_is_taken(http: httpx.Client) -> None:
    response = http.post("/vectorize", content=iter([b'{"texts":', b'["a"', b"]}"]))
    assert response.json() == post(http, texts=["a"]).json()


def test_empty_text_is_valid(http: httpx.Client) -> None:
    assert len(post(http, texts=[""]).json()["textVectors"]) == 1


def test_data_uris_are_the_same_as_bare_base64(http: httpx.Client) -> None:
    bare = post(http, images=[RED]).json()["imageVectors"]
    assert post(http, images=[f"data:image/png;base64,{RED}"]).json()["imageVectors"] == bare
    # the label is not believed
    assert post(http, images=[f"data:image/jpeg;base64,{RED}"]).json()["imageVectors"] == bare


def test_null_lists_and_unknown_keys_are_ignored(http: httpx.Client) -> None:
    response = post(http, texts=["a"], images=None, video=None, audio=None, depth=[], model="x", nested={"a": [1]})
    assert len(response.json()["textVectors"]) == 1


def test_escapes_of_go_are_read(http: httpx.Client) -> None:
    escaped = http.post("/vectorize", content=b'{"texts":["\\u003ca\\u0026b\\u003e \\ud83d\\ude00"]}').json()
    assert escaped == post(http, texts=["<a&b> \N{GRINNING FACE}"]).json()


@pytest.mark.parametrize("body", [{}, {"texts": []}, {"texts": None, "images": [], "video": []}, {"other": ["a"]}])
def test_nothing_to_vectorize_is_an_error(http: httpx.Client, body: dict[str, Any]) -> None:
    assert "nothing to vectorize" in refused(post(http, **body), 400)


def test_where_nothing_is_to_be_done_a_misspelt_key_is_named(http: httpx.Client) -> None:
    message = refused(post(http, text=["x"], **{"k" * 999: 1}), 400)
    assert 'texts, images and video are all empty; not known: "text", "kkk' in message
    assert len(message) < 200
    assert post(http, texts=["x"], text=["x"]).status_code == 200


def test_every_bad_item_is_named(http: httpx.Client) -> None:
    truncated = b64(picture("red")[:40])
    response = post(
        http, texts=["fine", "x" * 20_000], images=[RED, "not base64!", truncated], video=[b64(b"\0" * 100)]
    )
    message = refused(response, 413)
    for name in ("texts[1]: ", "images[1]: ", "images[2]: ", "video[0]: "):
        assert name in message
    assert "texts[0]" not in message
    assert "images[0]" not in message
    assert "10000" in message.replace(",", "")


def test_a_picture_over_the_limit_names_the_limit(http: httpx.Client) -> None:
    message = refused(post(http, images=[RED, b64(picture() + b"\0" * 100_000)]), 413)
    assert message.startswith("images[1]: ")
    assert "100000" in message.replace(",", "")


@pytest.mark.parametrize("key", ["audio", "imu", "thermal", "depth"])
def test_other_modalities_are_refused_by_name(http: httpx.Client, key: str) -> None:
    message = refused(post(http, **{"texts": ["a"], key: ["AAAA", "AAAA"]}), 422)
    assert f"{key}[0], {key}[1]: " in message


def test_a_clip_is_no_picture_and_a_picture_no_clip(http: httpx.Client) -> None:
    message = refused(post(http, images=[CLIP], video=[RED]), 400)
    assert "images[0]: " in message
    assert "video[0]: " in message


def test_a_digest_is_no_picture(http: httpx.Client) -> None:
    """Weaviate sends the stored hash of a blobHash property in some updates; it is even valid base64."""
    assert "images[0]: digest: " in refused(post(http, images=["ab" * 32]), 422)


def test_messages_are_bounded() -> None:
    with InProcess() as running:
        message = refused(post(running.http, texts=["fine"], audio=["AAAA"] * 5000), 422)
    assert len(message) < 500
    assert message.endswith(" and 4980 more: audio cannot be vectorized by this service")


def test_more_items_than_the_limit_are_refused(http: httpx.Client) -> None:
    assert "50" in refused(post(http, texts=["a"] * 51), 413)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"texts":["a",5]}', "texts[1]: "),
        (b'{"texts":[null]}', "texts[0]: "),
        (b'{"images":"AAAA"}', "images: "),
        (b'{"video":{"a":1}}', "video: "),
        (b"[]", "the body: "),
        (b"null", "the body: "),
        (b'{"texts":["a"]', "not JSON"),
        (b"", "not JSON"),
        (b'{"texts":[NaN]}', "not JSON"),
        (b'{"texts":[1e999]}', "texts[0]: "),
        (b'{"texts":["\xff"]}', "UTF-8"),
        (b'{"texts":["\\ud800"]}', "not JSON"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
    ],
)
def test_a_wrong_body_is_refused_by_place(http: httpx.Client, body: bytes, place: str) -> None:
    assert place in refused(http.post("/vectorize", content=body), 400)


def test_a_long_body_is_refused_before_it_is_read(service: InProcess, http: httpx.Client) -> None:
    def endless() -> Any:
        yield b" " * 600_000
        yield b" " * 600_000

    for content in (b" " * 1_000_001, endless()):
        assert "1000000" in refused(http.post("/vectorize", content=content), 413)


def test_get_and_unknown_paths_have_the_same_error_body(http: httpx.Client) -> None:
    response = http.get("/vectorize")
    assert "GET /vectorize" in refused(response, 405)
    assert response.headers["allow"] == "POST"
    assert "/nowhere" in refused(post(http, "/nowhere"), 404)


def test_every_request_is_counted(service: InProcess, http: httpx.Client) -> None:
    def counted(outcome: str) -> float:
        return service.metric("prism_requests_total", door="http /vectorize", outcome=outcome)

    good, bad = counted("ok"), counted("invalid_input")
    post(http, texts=["a"])
    post(http)
    assert (counted("ok") - good, counted("invalid_input") - bad) == (1, 1)


def test_one_text_alone_has_the_priority_of_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search sends one text and nothing else; the prompt is the same for both sides."""
    with InProcess() as running:
        calls = recorded(running, monkeypatch, "vectorize")
        post(running.http, texts=["a"])
        post(running.http, texts=["a", "b"])
        post(running.http, images=[RED])
    assert [call["priority"] for call in calls] == [Priority.QUERY, Priority.BULK, Priority.BULK]
    assert {call["task"] for call in calls} == {Task.DOCUMENT}


def test_the_prompt_of_stock_modules_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess(stock_prompt="query") as running:
        calls = recorded(running, monkeypatch, "vectorize")
        post(running.http, texts=["a", "b"])
    assert [call["task"] for call in calls] == [Task.QUERY]


def test_a_fault_of_the_model_is_a_500_that_names_the_item(http: httpx.Client) -> None:
    message = refused(post(http, texts=["a", FAIL]), 500)
    assert message.startswith("texts[1]: ")
    assert "asked to fail" not in message


def test_an_unexpected_fault_tells_the_client_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with InProcess() as running:
        monkeypatch.setattr(running.service.engine, "vectorize", lambda *_, **__: 1 / 0)
        message = refused(post(running.http, texts=["a"]), 500)
        assert running.metric("prism_requests_total", door="http /vectorize", outcome="internal") == 1
    assert "zero" not in message
    assert "ZeroDivisionError" in caplog.text
