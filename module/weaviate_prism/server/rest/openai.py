"""POST /v1/embeddings in OpenAI's shape, for programs that are not Weaviate: texts in, one vector for each out.

https://developers.openai.com/api/reference/resources/embeddings. No tokens are taken, and nothing tells queries
from documents. Weaviate's text2vec-openai gets here, too, but imports no batch without fetching OpenAI's tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
from starlette.responses import Response

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput
from weaviate_prism.intake import check_count
from weaviate_prism.server.rest.exchange import Contract, decode
from weaviate_prism.server.rest.inputs import Inputs, text, vectorized
from weaviate_prism.values import Item, Vector

# OpenAI has no default, its clients do: LangChain's and LlamaIndex', and Weaviate's text2vec-openai.
DEFAULT_MODELS = ("text-embedding-ada-002", "text-embedding-3-small")
CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class EmbeddingsRequest(msgspec.Struct):
    """OpenAI's own client asks for base64 unless told otherwise."""

    input: str | list[str]
    model: str = ""
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None


class Embedding(msgspec.Struct, tag_field="object", tag="embedding"):
    embedding: Vector | memoryview  # which msgspec writes as base64
    index: int


class Usage(msgspec.Struct):
    """Not counted: a cached text is never made into tokens."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingsResponse(msgspec.Struct, tag_field="object", tag="list"):
    data: list[Embedding]
    model: str
    usage: Usage


class ErrorBody(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class Texts(Inputs, frozen=True, kw_only=True):
    asked: str  # the model's name in the body
    in_base64: bool


DECODER = msgspec.json.Decoder(EmbeddingsRequest)


def parse(body: bytes, settings: Settings) -> Texts:
    """
    Raises:
        InvalidInput: not the JSON that is asked for, or nothing to vectorize.
    """
    request = decode(DECODER, body)
    if not request.input and not isinstance(request.input, str):
        raise InvalidInput("nothing to vectorize: input is empty")
    return Texts(
        items=dict(read(request.input, settings)),
        model="" if request.model in DEFAULT_MODELS else request.model,
        dimensions=request.dimensions or 0,
        asked=request.model,
        in_base64=request.encoding_format == "base64",
    )


def read(texts: str | list[str], settings: Settings) -> Iterator[tuple[str, Item]]:
    if isinstance(texts, str):
        yield "input", text(texts)
        return
    check_count(len(texts), settings)
    for number, each in enumerate(texts):
        yield f"input[{number}]", text(each)


async def answer(texts: Texts, engine: Engine, profile: str, deadline: float) -> bytes:
    """One vector for every text.

    Raises:
        PrismError: names every text that has none.
    """

    def response(vectors: Mapping[str, Vector]) -> EmbeddingsResponse:
        written = (little_endian(each) if texts.in_base64 else each for each in vectors.values())
        return EmbeddingsResponse([Embedding(each, i) for i, each in enumerate(written)], texts.asked, Usage())

    return await vectorized(texts, engine, profile, deadline, response)


def little_endian(vector: Vector) -> memoryview:
    return vector.astype("<f4", copy=False).data


def failure(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": ErrorBody(message, kind, None, CODES.get(status))}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


CONTRACT = Contract(("/v1/embeddings",), (), parse, answer, failure)
