"""POST /rerank of reranker-transformers: up to 32 documents a request, one score each in request order.

Weaviate sends what it has stored under one property, so a document may be text, the base64 of a picture or clip, or
the digest of a blobHash; it sends "" for null, numbers and lists, which is a valid, empty text.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.server.rest.exchange import Contract, decode
from weaviate_prism.server.rest.inputs import Ranking, ranked, ranking


class RerankRequest(msgspec.Struct):
    """`property` is always sent and always empty."""

    query: str
    documents: list[str] | None  # Go's nil slice is null


class Score(msgspec.Struct):
    """Weaviate never reads the echo of the document that its own container sends."""

    score: float


class RerankResponse(msgspec.Struct):
    scores: list[Score]


DECODER = msgspec.json.Decoder(RerankRequest)


def parse(body: bytes, settings: Settings) -> Ranking:
    """
    Raises:
        InvalidInput: not the JSON that is asked for.
        PrismError: as `ranking` does.
    """
    request = decode(DECODER, body)
    return ranking(request.query, request.documents or (), settings, key="documents")


async def answer(ranking: Ranking, engine: Engine, profile: str, deadline: float) -> bytes:
    """One score per document.

    Raises:
        PrismError: names every document that has none.
    """
    return await ranked(ranking, engine, profile, deadline, response)


def response(scores: Iterable[float]) -> RerankResponse:
    return RerankResponse([Score(score) for score in scores])


CONTRACT = Contract(("/rerank",), ("reranker-transformers",), parse, answer)
