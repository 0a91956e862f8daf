"""POST /vectorize of multi2vec-bind and multi2vec-clip: texts, images and video in, one vector for each out.

Both modules take the vectors by position, so an answer is complete or it is an error. Neither says
whether it embeds a query or an object: one text alone is what a search sends and gets priority, the
prompt is the same for both sides (`stock_prompt`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial

import msgspec
import numpy as np

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput, PrismError, Unsupported
from weaviate_prism.intake import check_count
from weaviate_prism.server.rest.encoding import media_part
from weaviate_prism.server.rest.errors import complete
from weaviate_prism.server.rest.exchange import Contract, decode, unknown_keys
from weaviate_prism.values import Image, Item, Priority, Task, Text, Vector, Video, item_of

# JSON of 8 vectors of 1,024 dimensions takes 0.7 ms.
INLINE_VECTORS = 8


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
ENCODER = msgspec.json.Encoder(enc_hook=np.ndarray.tolist)


def parse(body: bytearray, settings: Settings) -> dict[str, Item | PrismError]:
    """Every input by its name, `images[3]`; one that cannot be read is its error.

    Raises:
        InvalidInput: not the JSON that is asked for, or nothing to vectorize.
    """
    request = decode(DECODER, body)
    check_count(sum(len(values or ()) for values in msgspec.structs.astuple(request)), settings)
    inputs = dict(read(request, settings))
    if not inputs:
        unknown = unknown_keys(DECODER, body)
        raise InvalidInput(f"nothing to vectorize: texts, images and video are all empty{unknown}")
    return inputs


def read(request: VectorizeRequest, settings: Settings) -> Iterator[tuple[str, Item | PrismError]]:
    for number, text in enumerate(request.texts or ()):
        yield f"texts[{number}]", Item((Text(text),))
    for number, image in enumerate(request.images or ()):
        yield f"images[{number}]", media(Image, image, settings.max_image_bytes)
    for number, video in enumerate(request.video or ()):
        yield f"video[{number}]", media(Video, video, settings.max_video_bytes)
    for key in ("audio", "imu", "thermal", "depth"):
        for number, _ in enumerate(getattr(request, key) or ()):
            yield f"{key}[{number}]", Unsupported(f"{key} cannot be vectorized by this service")


def media(kind: type[Image | Video], text: str, max_bytes: int) -> Item | PrismError:
    try:
        return item_of([media_part(kind, text, max_bytes)])
    except PrismError as error:
        return error


async def answer(inputs: Mapping[str, Item | PrismError], engine: Engine, deadline: float) -> bytes:
    """One vector for every input.

    Raises:
        PrismError: names every input that has none.
    """
    priority = Priority.QUERY if list(inputs) == ["texts[0]"] else Priority.BULK
    task = Task(engine.settings.stock_prompt)
    (results,) = await engine.vectorize(list(inputs.values()), task=task, priority=priority, deadline=deadline)
    vectors = complete(dict(zip(inputs, results, strict=True)))
    encode = partial(ENCODER.encode, response(vectors))
    return encode() if len(vectors) <= INLINE_VECTORS else await asyncio.to_thread(encode)


def response(vectors: Mapping[str, Vector]) -> VectorizeResponse:
    lists: dict[str, list[Vector]] = {"texts": [], "images": [], "video": []}
    for name, vector in vectors.items():
        lists[name.partition("[")[0]].append(vector)
    return VectorizeResponse(*lists.values())


CONTRACT = Contract("/vectorize", parse, lambda inputs: inputs.values(), answer)
