"""Which strings are media, and what becomes of those that are not."""

from __future__ import annotations

import base64
import json
import random
import string
import time
import uuid
from collections.abc import Callable

import pytest
from PIL import Image as Pillow

import media
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge
from weaviate_prism.server.rest.encoding import document_item, media_bytes, media_part
from weaviate_prism.values import Image, Item, Modality, Part, Stored, Text, Video

SETTINGS = Settings()
SMALL = Settings(max_image_bytes=100)
PNG = media.encoded(media.corners())
PNG_BASE64 = base64.b64encode(PNG).decode()
# bytes whose base64 has every special character: `+`, `/` and padding
SPECIAL = bytes(range(256)) + b"\xfb\xff"

MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp41\0\0\0\x08free\0\0\0\x08mdat"
WEBM = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm" + bytes(
    20
)
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SMALLEST_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read(text: str) -> bytes:
    return media_bytes(text, Modality.IMAGE, SETTINGS)


# -- media_bytes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b64(SPECIAL),
        b64(SPECIAL).rstrip("="),
        base64.urlsafe_b64encode(SPECIAL).decode(),
        base64.urlsafe_b64encode(SPECIAL).decode().rstrip("="),
        base64.encodebytes(SPECIAL).decode(),
        base64.encodebytes(SPECIAL).decode().replace("\n", "\r\n"),
        f"  {b64(SPECIAL)}\n",
        f"data:image/png;base64,{b64(SPECIAL)}",
        f"DATA:IMAGE/PNG;BASE64,{b64(SPECIAL)}",
        f"data:video/mp4;base64,{b64(SPECIAL)}",
        f"data:;base64,{b64(SPECIAL)}",
        f"data:image/svg+xml;charset=utf-8;name=a.b;base64,{b64(SPECIAL)}",
    ],
)
def test_base64_in_every_usual_spelling_is_read(text: str) -> None:
    assert read(text) == SPECIAL


@pytest.mark.parametrize("size", range(6))
def test_padding_may_be_missing(size: int) -> None:
    data = PNG[: 32 + size]
    assert read(b64(data).rstrip("=")) == data


@pytest.mark.parametrize("text", ["", " \n", "data:image/png;base64,", "data:image/png;base64, \n"])
def test_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        read(text)


@pytest.mark.parametrize(
    "text", ["a", "=", "a===", "hello, world", "né=", "\ud800", "\0", "AA=A", "data:image/png,abc"]
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="neither base64 nor a data URI"):
        read(text)


@pytest.mark.parametrize("digest", ["ab" * 32, "0" * 64, "0123456789ABCDEF" * 4, f" {'ab' * 32}\n"])
def test_a_digest_is_refused_by_name(digest: str) -> None:
    with pytest.raises(InvalidInput, match="digest"):
        read(digest)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a.png", "HTTPS://example.com/a", "file:///etc/passwd", "file:/etc/passwd", "s3://a/b"]
)
def test_a_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidInput, match="URL, which is never fetched"):
        read(url)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/hostname1",
        "./a",
        "../a.png",
        "~/b",
        "a.png",
        "some picture.jpeg",
        "C:\\a.png",
        "\\\\host\\a",
    ],
)
def test_a_file_name_is_refused_by_name(path: str) -> None:
    with pytest.raises(InvalidInput, match="file name, which is never opened"):
        read(path)


def test_a_picture_whose_base64_looks_like_a_path_is_read() -> None:
    jpeg = media.encoded(Pillow.new("L", (1, 1)), "JPEG")
    assert b64(jpeg).startswith("/")
    assert read(b64(jpeg)) == jpeg


@pytest.mark.parametrize("size", [99, 100])
@pytest.mark.parametrize(
    "wrap", [b64, lambda data: base64.encodebytes(data).decode(), lambda data: f"data:;base64,{b64(data)}"]
)
def test_what_is_within_the_limit_is_read(size: int, wrap: Callable[[bytes], str]) -> None:
    data = (PNG * 2)[:size]
    assert media_bytes(wrap(data), Modality.IMAGE, SMALL) == data


def test_the_size_is_checked_before_decoding() -> None:
    with pytest.raises(TooLarge, match=r"a picture of 101 bytes is over the limit of 100 \(max_image_bytes\)"):
        media_bytes("!" * 135, Modality.IMAGE, SMALL)  # not even base64


def test_large_strings_are_cheap() -> None:
    """30 MB as one piece, in lines, or as garbage; and a label that could make a regular expression backtrack."""
    data = media.encoded(media.noise(64, 64)) + random.Random(0).randbytes(30_000_000)
    started = time.thread_time()
    assert read(b64(data)) == data
    assert read(base64.encodebytes(data).decode()) == data
    for garbage in ("é" * 30_000_000, "data:" + "a" * 30_000_000, "data:a/b" + ";c=d" * 7_000_000, " " * 30_000_000):
        with pytest.raises(InvalidInput):
            media_bytes(garbage, Modality.VIDEO, Settings(max_video_bytes=10**9))
    assert time.thread_time() - started < 2


@pytest.mark.parametrize("kind", [Image, Video])
def test_a_digest_stands_for_stored_media_where_media_are_wanted(kind: type[Image | Video]) -> None:
    modality = Modality.IMAGE if kind is Image else Modality.VIDEO
    for digest in (DIGEST, DIGEST.upper(), f" {DIGEST}\n"):
        assert media_part(kind, digest, SETTINGS) == Stored(DIGEST, stated=modality)
    assert media_part(kind, b64(PNG), SETTINGS, "still") == kind(PNG, "still")
    with pytest.raises(TooLarge):
        media_part(kind, b64(PNG), Settings(max_image_bytes=10, max_video_bytes=10))


# -- document_item -------------------------------------------------------------------------------


def document_part(text: str, settings: Settings = SETTINGS) -> Part | Stored:
    """The only part of a document."""
    (part,) = document_parts(text, settings)
    return part


def document_parts(text: str, settings: Settings = SETTINGS) -> tuple[Part | Stored, ...]:
    """The parts of a document, or its error; in these tests all parts are stored, or none."""
    item = document_item(text, settings)
    if isinstance(item, PrismError):
        raise item
    return item.parts or tuple(part for _, part in item.stored)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        *((media.encoded(media.corners(), kind), Image) for kind in media.FORMATS),
        *((media.encoded(Pillow.new("L", (1, 1)), kind), Image) for kind in media.FORMATS),
        (SMALLEST_GIF, Image),
        (MP4, Video),
        (WEBM, Video),
        (b"RIFF\x24\0\0\0AVI LIST" + bytes(20), Video),
    ],
)
def test_media_are_recognised_in_documents(data: bytes, kind: type[Image | Video]) -> None:
    assert document_part(b64(data), SETTINGS) == kind(data)
    assert document_part(b64(data).rstrip("="), SETTINGS) == kind(data)
    assert document_part(base64.encodebytes(data).decode(), SETTINGS) == kind(data)
    assert document_part(f"data:text/plain;base64,{b64(data)}", SETTINGS) == kind(data)


TEXTS = [
    "",
    " ",
    "cat",
    "nonsense",
    "DEADBEEF" * 8,
    "deadbeef" * 8 + "0",
    str(uuid.uuid4()),
    uuid.uuid4().hex,
    # words that are the base64 of a signature
    "Qk0=",
    "/9j/",
    "R0lGODlh",
    "iVBORw0KGgo",
    "iVBORw0KGgo=",
    "UklGR",
    "SUkqAA==",
    "GkXfow==",
    "AAAAGGZ0eXBpc29t",
    # texts that begin like media
    "/9j/ is how a JPEG begins, and iVBORw0KGgo is how a PNG does; both are base64 of their signatures",
    "iVBORw0KGgoAAAANSUhEUgAAADAAAAAgCAIAAADbtmxLAAAAQElEQVR4nO3OQQ is the beginning of a picture",
    f"{PNG_BASE64}!",
    f"{PNG_BASE64[:60]} {PNG_BASE64[60:]}",
    f"{PNG_BASE64}\nis a picture",
    "R0lGODlh_some-long-identifier_with-hyphens_that-goes-on_and-on_for-a-while",
    "BM is a company" + "x" * 40,
    # data URIs that are none, or not of base64
    "data: the new oil",
    "data:image/png is a MIME type",
    "data:image/png,%89PNG",
    "data:image/png;base64 is what they begin with",
    # base64 of something else
    b64(b"a plain text of a certain length, which is no picture at all" * 3),
    b64(b"%PDF-1.7" + bytes(100)),
    b64(b"PK\x03\x04" + bytes(100)),
    b64(b"ID3\x04" + bytes(100)),
    b64(b"\0\0\0\x18ftypM4A " + bytes(100)),
    b64(b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n" + bytes(100)),
    b64(bytes(1000)),
    # what JSON may hold besides
    "\ud800",
    "\0" * 100,
    "é" * 1000,
    "日本語の文書",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_looks_like_media_stays_text(text: str) -> None:
    assert document_part(text, SETTINGS) == Text(text)


def test_random_words_and_base64_stay_text() -> None:
    rng = random.Random(5)
    for _ in range(3000):
        words = ["".join(rng.choices(string.ascii_letters + string.digits + "+/-_", k=rng.randint(1, 90)))]
        words.append(b64(rng.randbytes(rng.randint(0, 200))))
        words.append(rng.randbytes(rng.randint(1, 200)).hex()[1:])  # of no digest's length
        for word in words:
            assert document_part(word) == Text(word)


@pytest.mark.parametrize("digest", ["deadbeef" * 8, "0" * 64])
def test_a_digest_is_stored_media_or_a_text(digest: str) -> None:
    assert document_part(digest) == Stored(digest, or_text=True)


@pytest.mark.parametrize(
    "uri",
    [
        "data:text/plain;base64,SGVsbG8=",
        "data:image/png;base64,",
        "data:image/png;base64,!!!",
        f"data:image/png;base64,{b64(bytes(100))}",
        f"data:image/png;base64,{PNG_BASE64}, which is a picture",
    ],
)
def test_a_data_uri_of_something_else_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match="data URI"):
        document_part(uri, SETTINGS)


def test_a_document_over_its_limit_is_refused() -> None:
    small = Settings(max_image_bytes=100)
    data = PNG + bytes(1000)
    with pytest.raises(TooLarge, match=f"of {len(data)} bytes is over the limit of 100"):
        document_part(b64(data), small)
    assert isinstance(document_part(b64(MP4 + bytes(1000)), small), Video)


# -- documents in JSON ---------------------------------------------------------------------------


def test_a_json_object_of_text_and_media_is_a_document_of_several_parts() -> None:
    uri = f"data:image/jpeg;base64,{PNG_BASE64}"
    assert document_parts(json.dumps({"text": 'a "ship"', "image": PNG_BASE64})) == (
        Text('a "ship"', "text"),
        Image(PNG, "image"),
    )
    assert document_parts(f' {{\n "video": "{b64(MP4)}", "text": ""\n}}\n') == (Video(MP4, "video"), Text("", "text"))
    assert document_parts(json.dumps({"media": uri})) == (Image(PNG, "media"),)
    assert document_parts(json.dumps({"media": b64(MP4)})) == (Video(MP4, "media"),)
    assert document_parts(json.dumps({"text": "only this"})) == (Text("only this", "text"),)


def test_a_digest_in_json_is_stored_media_in_its_place() -> None:
    item = document_item(json.dumps({"image": DIGEST, "text": "a", "media": DIGEST}), SETTINGS)
    stored = ((0, Stored(DIGEST, "image", Modality.IMAGE)), (2, Stored(DIGEST, "media")))
    assert item == Item((Text("a", "text"),), stored=stored)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"text": "a", "title": "b"}',
        '{"title": "b", "text": "a"}',
        '{"Text": "a"}',
        '{"text": null}',
        '{"text": 5}',
        '{"text": ["a"]}',
        '{"text": {"text": "a"}}',
        '{"text": "a", "image": null}',
        '{"text": "a"',
        '{"text": "a"} and more',
        '{"text": "\ud800"}',
        '{"text": "a", "image": ""}',
        '{"text": "a", "image": "none"}',
        '{"text": "a", "media": "a cat, on a sofa"}',
        '{"text": "a", "image": "http://127.0.0.1:1/a.png"}',
        '{"text": "a", "image": "file:///etc/passwd"}',
        '{"text": "a", "image": "/etc/passwd"}',
        '{"text": "a", "image": "pictures/of/cats/and/of/dogs/cat.png"}',
        '{"text": "a", "image": {"url": "http://127.0.0.1:1/a.png"}}',
        '{"text":' * 100_000,
        '{"text":' + "[" * 1_000_000,
    ],
)
def test_any_other_json_is_a_text(text: str) -> None:
    assert document_part(text) == Text(text)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"image": b64(bytes(100))}, "image: not a picture in a known format"),
        ({"image": "data:image/png;base64,!!!"}, "image: neither base64 nor a data URI"),
        ({"image": "data:image/png;base64,"}, "image: empty"),
        ({"image": b64(MP4)}, "image: is a clip, and stated as a picture"),
        ({"video": PNG_BASE64}, "video: is a picture, and stated as a clip"),
        ({"media": b64(bytes(100))}, "media: neither a picture nor a clip"),
    ],
)
def test_media_in_json_that_cannot_be_read_are_the_documents_error(fields: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        document_part(json.dumps({"text": "a", **fields}))


def test_media_in_json_have_the_limits_of_all_media() -> None:
    small = Settings(max_image_bytes=100, max_video_bytes=200)
    with pytest.raises(TooLarge, match="image: a picture of 1000 bytes is over the limit of 100"):
        document_part(json.dumps({"image": b64((PNG * 10)[:1000])}), small)
    with pytest.raises(TooLarge, match="media: a clip of 1000 bytes is over the limit of 200"):
        document_part(json.dumps({"media": b64((PNG * 10)[:1000])}), small)


def test_long_texts_are_not_decoded() -> None:
    text = PNG_BASE64[:100] + "not media at all. " * 2_000_000
    garbage = b64(random.Random(0).randbytes(30_000_000))
    documents = (text, garbage, " " * 30_000_000, '{"text": [' + " " * 30_000_000, "{" * 30_000_000)
    started = time.thread_time()
    for document in documents:
        assert isinstance(document_part(document), Text)
    assert time.thread_time() - started < 0.2
