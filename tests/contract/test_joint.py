"""Where a profile says `fusion = "joint"`, /vectorize makes one vector of all that an object has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.running import InProcess, until
from contract.samples import b64, clip, picture
from contract.test_media_store import hashed
from contract.test_rpc_vectorize import data, item, request, rows, text
from contract.test_vectorize import post, refused
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

FILE = """
[profiles.joint]
embedder = "fake"
fusion = "joint"
[profiles.open]
embedder = "fake"
[profiles.mean]
embedder = "fake"
fusion = "mean"
[profiles.short]
embedder = "fake"
fusion = "joint"
dimensions = 8
"""
RED, BLUE, CLIP = b64(picture("red")), b64(picture("blue")), b64(clip())
UNKNOWN = "ab" * 32


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("joint")
    file = folder / "prism.toml"
    file.write_text(FILE)
    limits = {"max_text_bytes": 10_000, "max_image_bytes": 100_000}
    media = str(tmp_path_factory.mktemp("media"))
    with InProcess(config=str(file), embedder="", reranker="none", media_store=media, **limits) as running:
        yield running


def vector(service: InProcess, *parts: pb.Part, model: str = "joint") -> list[float]:
    """By gRPC, of one item."""
    target = pb.Target(model=model, fusion=pb.FUSION_JOINT)
    response = pb_grpc.VectorizerStub(service.channel).Vectorize(request(item(*parts), targets=[target]))
    assert not response.errors
    (row,) = rows(response.blocks[0]).tolist()
    return list(row)


def one(found: list[float]) -> dict[str, list[list[float]]]:
    return {"textVectors": [], "imageVectors": [found], "videoVectors": []}


def test_what_an_object_has_becomes_one_vector(service: InProcess) -> None:
    parts = [text("a ship"), text("at sea"), data(picture("red")), data(picture("blue")), data(clip())]
    got = post(service.http, video=[CLIP], images=[RED, BLUE], texts=["a ship", "at sea"])
    assert got.json() == one(vector(service, *parts))
    # an empty property comes as an empty text
    assert post(service.http, texts=[""], video=[CLIP]).json() == one(vector(service, text(""), data(clip())))


def test_the_address_and_the_default_choose_the_profile(service: InProcess) -> None:
    short = post(service.http, "/p/short/vectorize", texts=["a ship"], images=[RED]).json()
    assert short == one(vector(service, text("a ship"), data(picture("red")), model="short"))
    assert len(short["imageVectors"][0]) == 8
    for path in ("/vectorize", "/p/joint/vectorize"):
        got = post(service.http, path, texts=["a ship"], images=[RED])
        assert got.json() == one(vector(service, text("a ship"), data(picture("red"))))


def test_media_alone_are_an_objects_if_there_are_several(service: InProcess) -> None:
    """A search has one."""
    red, blue = data(picture("red")), data(picture("blue"))
    assert post(service.http, images=[RED, BLUE]).json() == one(vector(service, red, blue))
    assert post(service.http, images=[RED], video=[CLIP]).json() == one(vector(service, red, data(clip())))
    assert post(service.http, images=[RED]).json() == one(vector(service, red))
    assert post(service.http, video=[CLIP]).json()["videoVectors"] == [vector(service, data(clip()))]


def test_texts_alone_get_a_vector_each(service: InProcess) -> None:
    """A search may have several, and Weaviate counts."""
    got = post(service.http, texts=["a ship", "a storm"]).json()
    assert got["textVectors"] == [vector(service, text("a ship")), vector(service, text("a storm"))]
    assert got["imageVectors"] == got["videoVectors"] == []


@pytest.mark.parametrize("profile", ["open", "mean"])
def test_without_a_joint_profile_every_input_has_its_own(service: InProcess, profile: str) -> None:
    got = post(service.http, f"/p/{profile}/vectorize", texts=["a ship"], images=[RED, BLUE], video=[CLIP]).json()
    assert [len(got[key]) for key in ("textVectors", "imageVectors", "videoVectors")] == [1, 2, 1]
    assert got["textVectors"] == [vector(service, text("a ship"))]


def test_every_input_that_cannot_be_read_is_named(service: InProcess) -> None:
    message = refused(post(service.http, texts=["fine"], images=[RED, "no base64!"], audio=["AAAA"]), 422)
    assert message.startswith("images[1]: neither base64")
    assert message.endswith("; audio[0]: audio cannot be vectorized by this service")
    torn = b64(picture("red")[:40])
    message = refused(post(service.http, texts=["fine"], images=[RED, torn]), 400)
    assert message.startswith("images[1]: the PNG picture cannot be decoded")
    message = refused(post(service.http, texts=["fine", "x" * 20_000], images=[RED]), 413)
    assert message.startswith("texts[1]: ")
    assert refused(post(service.http, images=[CLIP], video=[CLIP]), 400).startswith("images[0]: ")
    assert "'nobody' is not known" in refused(
        post(service.http, "/p/nobody/vectorize", texts=["fine"], images=[RED]), 404
    )


def test_stored_media_are_parts_by_their_digest(service: InProcess) -> None:
    green = picture("green")
    post(service.http, texts=["grass"], images=[b64(green)])
    until(lambda: kept(service, hashed(green)))
    whole = one(vector(service, text("grass"), data(green), data(clip())))
    assert post(service.http, texts=["grass"], images=[hashed(green)], video=[CLIP]).json() == whole
    why = "digest: no media are stored under it: send them again"
    refusal = post(service.http, texts=["grass"], images=[hashed(green), UNKNOWN])
    assert refused(refusal, 422) == f"images[1]: {why}"


def kept(service: InProcess, digest: str) -> bool:
    return (Path(service.settings.media_store) / digest[:2] / digest).exists()
