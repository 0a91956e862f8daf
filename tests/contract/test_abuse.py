"""A thousand requests that nobody should send; then one good one, which is answered as before."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contract.doors import DOORS
from contract.running import InProcess
from contract.samples import b64, clip, picture
from contract.test_vectorize import post

PATHS = [door.path for door in DOORS.values()]
STRINGS = [
    "",
    "a",
    "!",
    "=",
    "AAAA",
    "\x00",
    "data:",
    "data:,",
    "data:;base64,",
    "data:image/png;base64,AAAA",
    "ab" * 32,
]
STRINGS += ["file:///etc/passwd", "/etc/passwd", "http://127.0.0.1:1/x.png", "\N{GRINNING FACE}" * 50, "<|image_pad|>"]
RAW = [
    b"",
    b"{",
    b"nul",
    b"NaN",
    b"-Infinity",
    b"1e9999",
    b'"' * 1000,
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b'{"texts":' + b"[" * 50_000,
    b'{"texts":["\\ud800"]}',
    b'{"texts":["\\udfff\\ud800"]}',
    b'{"images":[1e400]}',
    b'{"texts":[' + b"9" * 5000 + b"]}",
    b'{"query":"\\ud800","documents":["a"]}',
    b'{"query":' + b"[" * 50_000,
    '{"texts":["a"]}'.encode("utf-16"),
    b'\xef\xbb\xbf{"texts":["a"]}',
    b'{"texts":["a"]}\x00',
]


def bodies(seed: int) -> Iterator[bytes]:
    """Without end: noise, cut files, wrong types, odd strings."""
    dice = random.Random(seed)
    files = [picture(kind=kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP")] + [clip()]
    yield from RAW
    while True:
        file = dice.choice(files)
        cut = b64(file[: dice.randrange(1, len(file))])
        spoilt = bytearray(file)
        for _ in range(10):
            spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
        yield dice.randbytes(dice.randrange(2000))
        yield json.dumps({dice.choice(["images", "video"]): [cut, b64(bytes(spoilt))]}).encode()
        yield json.dumps({"query": dice.choice(STRINGS), "documents": [cut, dice.choice(STRINGS)]}).encode()
        yield json.dumps({dice.choice(["texts", "images", "video", "audio"]): dice.choices(STRINGS, k=3)}).encode()
        yield json.dumps({"images": dice.choice([1, None, "x", {"a": []}, [[]], [None], [True], [{}]])}).encode()
        odd: Any = dice.choice([cut, *STRINGS, 1, None, [], {}])
        yield json.dumps({"text": odd, "config": dice.choice([None, 1, {"dimensions": -1}])}).encode()
        yield json.dumps({dice.choice(["id", "text"]): odd, "image": dice.choice([cut, odd])}).encode()
        content = {"type": dice.choice(["text", "image_base64", "image_url", odd]), "image_base64": odd}
        yield json.dumps({"inputs": dice.choice([odd, [odd], [{"content": [content, odd]}]])}).encode()
        yield json.dumps({"input": dice.choice([odd, [odd, "a"]]), "model": odd, "encoding_format": odd}).encode()
        yield json.dumps({"query": {"text": odd}, "passages": [{"text": cut}, odd], "model": odd}).encode()
        whole = json.dumps({"images": [b64(file)], "query": "q", "documents": [b64(file)]}).encode()
        yield whole[: dice.randrange(len(whole))]


def test_a_thousand_bad_requests_do_no_harm(http: httpx.Client) -> None:
    good = {"texts": ["a"], "images": [b64(picture())], "video": [b64(clip())]}
    before = post(http, **good).json()
    for number, body in zip(range(1000), bodies(1), strict=False):
        response = http.post(PATHS[number // 2 % len(PATHS)], content=body)
        assert response.status_code < 500, (body[:200], response.text)
        assert isinstance(response.json(), dict)
    assert post(http, **good).json() == before


def test_noise_instead_of_http_is_survived(service: InProcess) -> None:
    dice = random.Random(2)
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", service.service.http_port), timeout=20) as client:
            client.sendall(dice.randbytes(dice.randrange(1, 500)) + b"\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(100)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert post(service.http, texts=["a"]).status_code == 200


@pytest.mark.parametrize(
    ("what", "media"),
    [
        ("letters", "A" * 30_000_000),
        ("no base64", "!" * 30_000_000),
        ("a picture and noise", b64(picture() + b"\xa5" * 22_000_000)),
        ("a cut clip", b64(clip()[:1000] + b"\0" * 22_000_000)),
        ("text", "long words " * 2_700_000),
    ],
)
def test_30_mb_are_answered_within_2_seconds(what: str, media: str) -> None:
    with InProcess() as running:
        for path, body in (
            ("/vectorize", {"images": [media]}),
            ("/vectorize", {"video": [media]}),
            ("/vectorize", {"texts": [media]}),
            ("/rerank", {"query": "q", "documents": ["a", media]}),
            ("/rerank", {"query": media, "documents": ["a"]}),
        ):
            content = json.dumps(body).encode()
            began = time.monotonic()
            response = running.http.post(path, content=content)
            assert time.monotonic() - began < 2, (what, path, list(body))
            assert response.status_code < 500, response.text


@pytest.mark.parametrize(
    ("name", "body", "each"),
    [
        ("bind and clip", '{"texts":[%s]}', '""'),
        ("voyageai", '{"inputs":[%s]}', "{}"),
        ("openai", '{"input":[%s]}', '""'),
        ("reranker-transformers", '{"query":"x","documents":[%s]}', '""'),
        ("cohere", '{"query":"x","documents":[%s]}', '""'),
        ("nvidia", '{"query":{"text":"x"},"passages":[%s]}', '{"text":""}'),
    ],
)
def test_a_million_empty_strings_are_refused_before_anything_is_made_of_them(name: str, body: str, each: str) -> None:
    many = body % ",".join([each] * 1_000_000)
    with InProcess() as running:
        began = time.monotonic()
        answer = running.http.post(DOORS[name].path, content=many.encode())
        assert time.monotonic() - began < 5  # building the items took 11 s
    assert "max_items" in DOORS[name].message(answer, 413)


def test_bodies_in_flight_have_a_limit_together() -> None:
    with InProcess(max_queue_bytes=100_000) as running:
        refused = running.http.post("/vectorize", json={"texts": ["x" * 200_000]})
        assert refused.status_code == 429
        assert "max_queue_bytes" in refused.json()["error"]
        for _ in range(20):  # what was read is given back, else the second would be refused
            assert post(running.http, texts=["x" * 60_000]).status_code == 200
