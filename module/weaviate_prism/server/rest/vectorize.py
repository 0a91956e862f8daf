"""POST /vectorize of multi2vec-bind and multi2vec-clip: texts, images and video in, one vector for each out.

Both modules take the vectors by position, so an answer is complete or it is an error. Neither says
whether it embeds a query or an object.

Where the profile says `fusion = "joint"`, an object's inputs become one vector. Weaviate stores the mean of all vectors
that it gets for an object, whatever their number: of a single one, that is the vector itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput, PrismError, Unsupported
from weaviate_prism.intake import check_count
from weaviate_prism.profiles import EMBEDDER
from weaviate_prism.server.rest.exchange import Contract, decode, unknown_keys
from weaviate_prism.server.rest.inputs import Inputs, joined, media, text, vectorized
from weaviate_prism.values import Fusion, Image, Item, Vector, Video


class VectorizeRequest(msgspec.Struct):
    """Media are base64 or data URIs. Go omits empty lists."""

    texts: list[str] | None = None
    images: list[str] | None = None
    video: list[str] | None = None
    audio: list[msgspec.Raw] | None = None
    imu: list[msgspec.Raw] | None = None
    thermal: list[msgspec.Raw] | None = None
    depth: list[msgspec.Raw] | None = None


class VectorizeResponse(msgspec.Struct, rename="camel"):
    text_vectors: list[Vector]
    image_vectors: list[Vector]
    video_vectors: list[Vector]


DECODER = msgspec.json.Decoder(VectorizeRequest)


def parse(body: bytes, settings: Settings) -> Inputs:
    """Every input by its name, `images[3]`; one that cannot be read is its error.

    Raises:
        InvalidInput: not the JSON that is asked for, or nothing to vectorize.
    """
    request = decode(DECODER, body)
    check_count(sum(len(values or ()) for values in msgspec.structs.astuple(request)), settings)
    items = dict(read(request, settings))
    if not items:
        unknown = unknown_keys(DECODER, body)
        raise InvalidInput(f"nothing to vectorize: texts, images and video are all empty{unknown}")
    return Inputs(items=items)


def read(request: VectorizeRequest, settings: Settings) -> Iterator[tuple[str, Item | PrismError]]:
    for number, each in enumerate(request.texts or ()):
        yield f"texts[{number}]", text(each)
    for number, image in enumerate(request.images or ()):
        yield f"images[{number}]", media(Image, image, settings)
    for number, video in enumerate(request.video or ()):
        yield f"video[{number}]", media(Video, video, settings)
    for key in ("audio", "imu", "thermal", "depth"):
        for number, _ in enumerate(getattr(request, key) or ()):
            yield f"{key}[{number}]", Unsupported(f"{key} cannot be vectorized by this service")


async def answer(inputs: Inputs, engine: Engine, profile: str, deadline: float) -> bytes:
    """One vector for every input, or the joint one of an object.

    Raises:
        PrismError: names every input that has none.
    """
    if is_object(inputs) and engine.profiles.find(profile, EMBEDDER).fusion is Fusion.JOINT:
        return await vectorized(joined(inputs), engine, profile, deadline, joint_response)
    return await vectorized(inputs, engine, profile, deadline, response)


def is_object(inputs: Inputs) -> bool:
    """Whether no search can have sent them: it sends one medium, or texts, for each of which it wants a vector."""
    return len(inputs.items) > 1 and any(not name.startswith("texts[") for name in inputs.items)


def joint_response(vectors: Mapping[str, Vector]) -> VectorizeResponse:
    return VectorizeResponse([], list(vectors.values()), [])


def response(vectors: Mapping[str, Vector]) -> VectorizeResponse:
    lists: dict[str, list[Vector]] = {"texts": [], "images": [], "video": []}
    for name, vector in vectors.items():
        lists[name.partition("[")[0]].append(vector)
    return VectorizeResponse(*lists.values())


CONTRACT = Contract(("/vectorize",), ("multi2vec-bind", "multi2vec-clip"), parse, answer)
