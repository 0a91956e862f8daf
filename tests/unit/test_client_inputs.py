"""What the Python client makes of its inputs, before anything is sent."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from weaviate_prism.client.encoding import Encoding
from weaviate_prism.client.inputs import item_of
from weaviate_prism.client.scoring import PairScoring
from weaviate_prism.client.work import Chunk, Work
from weaviate_prism.errors import InvalidInput
from weaviate_prism.v1 import prism_pb2 as pb

LIMITS = {"max_request_bytes": 1 << 28, "max_queue_bytes": 1 << 31, "max_items": 10_000, "max_queue": 20_000}
PIXELS = np.random.default_rng(1).integers(0, 256, (5, 4, 3), np.uint8)


def text(value: str) -> pb.Part:
    return pb.Part(text=value)


def decoded(part: pb.Part) -> Image.Image:
    return Image.open(io.BytesIO(part.data))


def test_parts_keep_their_order_and_keys_state_what_they_are() -> None:
    assert list(item_of(("b", b"x", "a")).parts) == [text("b"), pb.Part(data=b"x"), text("a")]
    keyed = item_of({"image": b"x", "text": "a", "video": b"y"})
    assert list(keyed.parts) == [
        pb.Part(data=b"x", modality=pb.MODALITY_IMAGE),
        pb.Part(text="a", modality=pb.MODALITY_TEXT),
        pb.Part(data=b"y", modality=pb.MODALITY_VIDEO),
    ]


def test_a_string_is_a_text_even_if_a_file_has_its_name(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"x")
    assert item_of(str(file)).parts[0] == text(str(file))
    assert item_of(file).parts[0] == pb.Part(data=b"x")
    with pytest.raises(InvalidInput, match=r"^image: must not be a string; a file is a pathlib\.Path"):
        item_of({"image": str(file)})


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr", "F", "I", "LAB"])
def test_pixels_are_sent_without_loss(mode: str) -> None:
    picture = Image.fromarray(PIXELS)
    if mode in ("F", "I", "I;16"):
        picture = Image.fromarray(PIXELS[..., 0].astype({"F": np.float32, "I": np.int32, "I;16": np.uint16}[mode]))
    elif mode == "LAB":
        picture = Image.frombytes("LAB", (4, 5), PIXELS.tobytes())
    else:
        picture = picture.convert(mode)
    sent = decoded(item_of(picture).parts[0])
    assert sent.mode == mode
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(picture))


def test_an_array_is_a_picture() -> None:
    np.testing.assert_array_equal(np.asarray(decoded(item_of(PIXELS).parts[0])), PIXELS)
    np.testing.assert_array_equal(np.asarray(decoded(item_of(PIXELS[:, ::-1]).parts[0])), PIXELS[:, ::-1])


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "is of type NoneType, not str, bytes"),
        ((), "has no parts"),
        ({}, "has no parts"),
        (("a", 3), r"^parts\[1\]: is of type int"),
        (("a", ("b",)), r"^parts\[1\]: is of type tuple"),
        ({"text": b"x"}, "^text: must be a string"),
        ({"picture": b"x"}, "^picture: is not one of text, image, video"),
        ("\ud800", "no Unicode text"),
        (PIXELS[..., 0], r"is an array \[5, 4\] of uint8"),
        (PIXELS.astype(np.float32), r"is an array \[5, 4, 3\] of float32"),
        (PIXELS[:0], r"is an array \[0, 4, 3\]"),
        (Path("/nowhere/a.png"), r"^/nowhere/a\.png cannot be read: No such file"),
        (Path("/"), "^/ cannot be read: Is a directory"),
        (Image.new("HSV", (2, 2)), "cannot be encoded"),
    ],
)
def test_what_is_no_input_is_named(value: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        item_of(value)


def test_a_damaged_picture_that_is_loaded_late_is_named() -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).resize((500, 500)).save(file, "JPEG")
    with pytest.raises(InvalidInput, match=r"cannot be encoded: .*truncated"):
        item_of(Image.open(io.BytesIO(file.getvalue()[:5000])))


def chunks(work: Work, **limits: int) -> list[Chunk]:
    return list(work.chunks({**LIMITS, **limits}))


def encoding(inputs: Any) -> Encoding:
    return Encoding(inputs, pb.TASK_QUERY, prompt=None, dimensions=None, model=None, fusion=None)


def test_requests_stay_near_the_size_that_travels_fastest() -> None:
    sizes = [[len(item.parts[0].data) for item in chunk.items] for chunk in chunks(encoding([bytes(10**6)] * 5))]
    assert sizes == [[10**6, 10**6], [10**6, 10**6], [10**6]]
    large = chunks(encoding([b"a", bytes(10**7), b"b", "c"]))
    assert [chunk.positions for chunk in large] == [[0], [1], [2, 3]]


def test_requests_have_no_more_parts_than_the_service_takes() -> None:
    many = encoding([("a", "b")] * 700)
    assert [len(chunk.items) for chunk in chunks(many)] == [250, 250, 200]
    assert {len(chunk.items) for chunk in chunks(many, max_items=14)} == {7}
    assert {len(chunk.items) for chunk in chunks(many, max_queue=20)} == {10}


def test_inputs_are_read_when_their_turn_comes(tmp_path: Path) -> None:
    """Ten thousand files are never in memory together."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(bytes(2 << 20))
    work = encoding([first, second]).chunks(LIMITS)
    second.write_bytes(bytes(2 << 20))
    assert next(work).positions == [0]
    assert next(work).positions == [1]


def test_pairs_with_the_same_query_travel_together() -> None:
    picture = Image.fromarray(PIXELS)
    queries: list[Any] = [
        "a b",
        b"a b",
        picture,
        " ".join("ab"),
        Path(__file__),
        picture,
        Path(__file__),
        picture.copy(),
    ]
    work = PairScoring([(query, "c") for query in queries], prompt=None, model=None)
    assert [chunk.positions for chunk in chunks(work)] == [[0, 3], [1], [2, 5], [4, 6], [7]]
