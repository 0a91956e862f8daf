"""POST /v1/multimodalembeddings of multi2vec-voyageai: texts, pictures and clips, each from a query or a document.

Answers are by position, so complete or an error, whose text the module takes from `detail`. An input may have
several contents; they become one vector, as at the service whose contract this is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput, PrismError, Unsupported
from weaviate_prism.intake import check_count
from weaviate_prism.server.rest.encoding import media_part
from weaviate_prism.server.rest.exchange import Contract, decode, unknown_keys
from weaviate_prism.server.rest.inputs import Inputs, vectorized
from weaviate_prism.server.rest.openai import Embedding
from weaviate_prism.values import Image, Item, Part, Stored, Task, Text, Vector, Video, item_of

# What the module sends where a collection names no model: the default one, here.
DEFAULT_MODEL = "voyage-multimodal-3"
# The module writes these before whatever a property holds; without them errors can say what that is.
PICTURE_LABEL, CLIP_LABEL = "data:image/png;base64,", "data:video/mp4;base64,"


class Content(msgspec.Struct, gc=False):
    """Go omits what is empty, an empty text too."""

    type: str
    text: str = ""
    image_base64: str = ""
    video_base64: str = ""


class Input(msgspec.Struct, gc=False):
    """A million empty ones are read in 0.1 s; with a list in each, seen by the garbage collector, in 3 s."""

    content: tuple[Content, ...] = ()


class EmbeddingsRequest(msgspec.Struct):
    inputs: list[Input] = []
    model: str = ""
    input_type: Literal["document", "query"] | None = None
    output_dimension: int | None = None


class Usage(msgspec.Struct):
    """Not counted: a cached input is never made into tokens. Voyage's own client wants all four."""

    text_tokens: int = 0
    image_pixels: int = 0
    video_pixels: int = 0
    total_tokens: int = 0


class EmbeddingsResponse(msgspec.Struct, tag_field="object", tag="list"):
    data: list[Embedding]
    usage: Usage


DECODER = msgspec.json.Decoder(EmbeddingsRequest)


def parse(body: bytes, settings: Settings) -> Inputs:
    """
    Raises:
        InvalidInput: not the JSON that is asked for, or nothing to vectorize.
    """
    request = decode(DECODER, body)
    check_count(sum(max(1, len(each.content)) for each in request.inputs), settings)
    if not request.inputs:
        raise InvalidInput(f"nothing to vectorize: inputs is empty{unknown_keys(DECODER, body)}")
    return Inputs(
        items={f"inputs[{number}]": item(each, settings) for number, each in enumerate(request.inputs)},
        task=request.input_type and Task(request.input_type),
        model="" if request.model == DEFAULT_MODEL else request.model,
        dimensions=request.output_dimension or 0,
    )


def item(asked: Input, settings: Settings) -> Item | PrismError:
    parts: list[Part | Stored] = []
    for number, content in enumerate(asked.content):
        name = f"content[{number}]" if len(asked.content) > 1 else ""
        try:
            parts.append(part(content, name, settings))
        except PrismError as error:
            return error.about(name)
    return item_of(parts)


def part(content: Content, name: str, settings: Settings) -> Part | Stored:
    """
    Raises:
        InvalidInput, TooLarge: media that cannot be read.
        Unsupported: a URL, or some other type.
    """
    if content.type == "text":
        return Text(content.text, name)
    if content.type == "image_base64":
        image = content.image_base64.removeprefix(PICTURE_LABEL)
        return media_part(Image, image, settings, name)
    if content.type == "video_base64":
        video = content.video_base64.removeprefix(CLIP_LABEL)
        return media_part(Video, video, settings, name)
    raise Unsupported(f"{content.type} cannot be vectorized by this service")


async def answer(inputs: Inputs, engine: Engine, profile: str, deadline: float) -> bytes:
    """One vector for every input.

    Raises:
        PrismError: names every input that has none.
    """
    return await vectorized(inputs, engine, profile, deadline, response)


def response(vectors: Mapping[str, Vector]) -> EmbeddingsResponse:
    return EmbeddingsResponse([Embedding(vector, number) for number, vector in enumerate(vectors.values())], Usage())


# `baseURL` of a collection ends in /v1 or not
CONTRACT = Contract(("/v1/multimodalembeddings", "/multimodalembeddings"), ("multi2vec-voyageai",), parse, answer)
