"""What holds at every HTTP door: mistakes are told alike, the address may name a model, the key is asked for."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contract import test_rpc_vectorize as rpc
from contract.doors import DOORS, RERANKERS, Door
from contract.running import InProcess, recorded
from contract.samples import b64, picture
from contract.test_vectorize import refused
from weaviate_prism.models.fake import FAIL
from weaviate_prism.server.rest.routes import CONTRACTS
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

NAMES = sorted(DOORS)
RED = b64(picture("red"))
CUT = picture("red")[:40]
LARGE = picture() + b"\0" * 100_000
DIGEST = "ab" * 32
URL = "https://example.org/picture.png"


def test_no_door_is_left_out() -> None:
    assert {door.path for door in DOORS.values()} == {contract.paths[0] for contract in CONTRACTS}


def good(door: Door) -> dict[str, Any]:
    """A body with nothing wrong in it."""
    if door.text:
        return door.text[1]("a")
    assert door.image
    return door.image[1](RED)


BAD_TEXTS = [
    pytest.param("x" * 20_000, 413, "a text of 20000 bytes is over the limit of 10000 (max_text_bytes)", id="too long"),
    pytest.param(FAIL, 500, "the service failed on this item; its log has the details", id="fault of the model"),
]
CUT_OFF = pytest.param(
    CUT, 400, "the PNG picture cannot be decoded: damaged, truncated or of an unknown kind", id="cut off"
)
SIZE = f"a picture of {len(LARGE)} bytes is over the limit of 100000 (max_image_bytes)"
TOO_LARGE = pytest.param(LARGE, 413, SIZE, id="too large")


@pytest.mark.parametrize("name", [name for name in NAMES if DOORS[name].text])
@pytest.mark.parametrize(("value", "status", "says"), BAD_TEXTS)
def test_bad_texts_are_named_and_told_alike(http: httpx.Client, name: str, value: str, status: int, says: str) -> None:
    door = DOORS[name]
    assert door.text
    item, body = door.text
    assert door.message(door.post(http, body(value)), status) == f"{item}: {says}"


@pytest.mark.parametrize("name", [name for name in NAMES if DOORS[name].image])
@pytest.mark.parametrize(("value", "status", "says"), [CUT_OFF, TOO_LARGE])
def test_bad_pictures_are_named_and_told_alike(
    http: httpx.Client, name: str, value: bytes, status: int, says: str
) -> None:
    door = DOORS[name]
    assert door.image
    item, body = door.image
    assert door.message(door.post(http, body(b64(value))), status) == f"{item}: {says}"


@pytest.mark.parametrize(("value", "status", "says"), [*BAD_TEXTS, CUT_OFF, TOO_LARGE])
def test_grpc_tells_them_alike(
    vectorizer: pb_grpc.VectorizerStub, reranker: pb_grpc.RerankerStub, value: str | bytes, status: int, says: str
) -> None:
    """It numbers items, rather than name them."""
    bad = rpc.item(rpc.text(value) if isinstance(value, str) else rpc.data(value))
    query = rpc.item(rpc.text("q"))
    vectorized = vectorizer.Vectorize(rpc.request(bad))
    reranked = reranker.Rerank(pb.RerankRequest(query=query, documents=[bad]))
    for (error,) in (vectorized.errors, reranked.errors):
        assert (error.index, error.message) == (0, says)


@pytest.mark.parametrize("name", [name for name in NAMES if DOORS[name].image and name not in RERANKERS])
@pytest.mark.parametrize(
    ("value", "status", "says"),
    [
        (URL, 400, "a URL, which is never fetched: send the media in base64"),
        (DIGEST, 422, "digest: no media are stored here (setting `media_store`): send them again"),
        ("pictures/red.png", 400, "a file name, which is never opened: send the media in base64"),
        ("", 400, "empty; it must be base64 or a data URI"),
        ("not base64!", 400, "neither base64 nor a data URI with base64"),
    ],
)
def test_what_is_no_picture_is_told_alike(http: httpx.Client, name: str, value: str, status: int, says: str) -> None:
    """Rerankers take it for a text."""
    door = DOORS[name]
    assert door.image
    item, body = door.image
    assert door.message(door.post(http, body(value)), status) == f"{item}: {says}"


@pytest.mark.parametrize("name", RERANKERS)
def test_an_empty_query_is_told_alike(http: httpx.Client, name: str) -> None:
    door = DOORS[name]
    assert door.text
    body = door.text[1]("a")
    body["query"] = {"text": ""} if name == "nvidia" else ""
    assert door.message(door.post(http, body), 400).startswith("query: ")


@pytest.mark.parametrize("name", NAMES)
def test_bodies_that_cannot_be_read_are_told_alike(http: httpx.Client, name: str) -> None:
    door = DOORS[name]
    for content, says in {
        b"[]": "the body: Expected `object`, got `array`",
        b"{": "the body is not JSON: Input data was truncated",
        b'{"x":' + b"[" * 100_000: "the body is nested too deeply",
    }.items():
        assert door.message(http.post(door.path, content=content), 400) == says
    long = door.message(http.post(door.path, content=b" " * 1_000_001), 413)
    assert long == "the body is larger than 1000000 bytes (max_request_bytes)"


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_key_is_named(http: httpx.Client, name: str) -> None:
    door = DOORS[name]
    assert door.message(door.post(http, {"txt": "a"}), 400).endswith('; not known: "txt"')


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("transformers", "img2vec")])
def test_too_many_items_are_told_alike(http: httpx.Client, name: str) -> None:
    door = DOORS[name]
    many: dict[str, Any] = {"input": ["a"] * 51} if name == "openai" else good(door)
    for key, value in many.items():
        if isinstance(value, list):
            many[key] = value[:1] * 51
    assert door.message(door.post(http, many), 413) == "a request of 51 items is over the limit of 50 (max_items)"


@pytest.mark.parametrize("name", NAMES)
def test_other_methods_are_refused_in_the_doors_shape(http: httpx.Client, name: str) -> None:
    door = DOORS[name]
    assert door.message(http.get(door.path), 405) == f"GET {door.path}: Method Not Allowed"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_the_clients_doing_is_told_alike(
    service: InProcess, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    door = DOORS[name]
    for method in ("vectorize", "rerank"):
        monkeypatch.setattr(service.service.engine, method, lambda *_, **__: 1 / 0)
    message = door.message(door.post(service.http, good(door)), 500)
    assert message == "internal error; the log of the service has the details"


# -- Models by name --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("slashes", ["/p/fake", "//p/fake/", "/p//fake"])
def test_the_address_may_name_a_model(http: httpx.Client, name: str, slashes: str) -> None:
    door = DOORS[name]
    url = http.base_url.copy_with(raw_path=f"{slashes}{door.path}".encode())
    assert http.post(url, json=good(door)).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_model_in_the_address_is_told_alike(http: httpx.Client, name: str) -> None:
    """A hub id has a slash."""
    door = DOORS[name]
    message = door.message(door.post(http, good(door), profile="Qwen/v1"), 404)
    assert message.startswith("model 'Qwen/v1' ")
    assert "'fake'" in message


def models(service: InProcess, monkeypatch: pytest.MonkeyPatch, door: Door) -> list[str]:
    """What the engine is asked for where the address names no model or one, and the body another or none."""
    vectorized, reranked = (recorded(service, monkeypatch, method) for method in ("vectorize", "rerank"))
    for profile in ("", "fake"):
        for body in ({}, {"model": "other"}):
            door.post(service.http, {**good(door), **body}, profile)
    return [call["targets"][0].model for call in vectorized] + [call["model"] for call in reranked]


@pytest.mark.parametrize("name", ["voyageai", "cohere", "nvidia", "openai"])
def test_the_address_wins_over_the_body(service: InProcess, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert models(service, monkeypatch, DOORS[name]) == ["", "other", "fake", "fake"]


@pytest.mark.parametrize("name", ["bind and clip", "transformers", "img2vec", "reranker-transformers"])
def test_other_contracts_have_no_model_in_the_body(
    service: InProcess, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert models(service, monkeypatch, DOORS[name]) == ["", "", "fake", "fake"]


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("voyageai", "voyage-multimodal-3"),
        ("cohere", "rerank-v3.5"),
        ("nvidia", "nvidia/rerank-qa-mistral-4b"),
        ("openai", "text-embedding-ada-002"),
        ("openai", "text-embedding-3-small"),
    ],
)
def test_what_is_sent_where_nobody_chose_is_the_default(http: httpx.Client, name: str, default: str) -> None:
    door = DOORS[name]
    assert door.post(http, {**good(door), "model": default}).json() == {
        **door.post(http, good(door)).json(),
        **({"model": default} if name == "openai" else {}),
    }
    assert "'fake'" in door.message(door.post(http, {**good(door), "model": "other"}), 404)


def test_probes_and_meta_answer_with_a_model_in_the_address(http: httpx.Client) -> None:
    for path in ("/.well-known/live", "/.well-known/ready"):
        assert http.get(f"/p/fake{path}").status_code == 204
    assert http.get("/p/fake/meta").json() == http.get("/meta").json()


@pytest.mark.parametrize("name", RERANKERS)
def test_nothing_to_rank_is_no_excuse_for_a_wrong_address(http: httpx.Client, name: str) -> None:
    door = DOORS[name]
    body = {key: [] if isinstance(value, list) else value for key, value in good(door).items()}
    assert door.post(http, body).status_code == 200
    assert "'fake'" in door.message(door.post(http, body, "other"), 404)


def test_probes_tell_an_address_with_an_unknown_profile(http: httpx.Client) -> None:
    assert refused(http.get("/p/some/name/.well-known/ready"), 404) == "there is no profile of that name"
    assert refused(http.get("/p/some/name/meta"), 404) == "model 'some/name' is not known; known are 'fake'"
    assert http.get("/p/some/name/.well-known/live").status_code == 204


@pytest.mark.parametrize("path", ["/p/vectorize", "/p//vectorize", "/p/fake", "/p/fake/nowhere", "/p/fake/metrics"])
def test_there_is_nothing_else_behind_the_prefix(http: httpx.Client, path: str) -> None:
    assert http.post(path, json={"texts": ["a"]}).status_code == 404


# -- The key ---------------------------------------------------------------------------------------

KEY = "k3y"


@pytest.fixture(scope="module")
def locked() -> Iterator[InProcess]:
    with InProcess(api_key=KEY) as running:
        yield running


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("profile", ["", "fake"])
def test_every_door_asks_for_the_key(locked: InProcess, name: str, profile: str) -> None:
    door = DOORS[name]
    response = door.post(locked.http, good(door), profile)
    assert "Bearer KEY" in door.message(response, 401)
    assert "Bearer" in response.headers["www-authenticate"]
    basic = base64.b64encode(f"prism:{KEY}".encode()).decode()
    for authorization in (f"Bearer {KEY}", f"Basic {basic}"):
        headers = {"authorization": authorization}
        assert locked.http.post(door.path, json=good(door), headers=headers).status_code == 200


def test_probes_need_no_key_whatever_the_address(locked: InProcess) -> None:
    assert locked.http.get("/p/fake/.well-known/ready").status_code == 204
    assert locked.http.get("/p/fake/meta").status_code == 401
