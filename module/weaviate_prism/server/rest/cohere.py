"""POST /v2/rerank of reranker-cohere: up to 1,000 documents a request, with a collection's own model.

The module goes by `index` and wants every document answered; other clients rely on the order and on `top_n`, which
the module never sends. Documents and query are read as at /rerank.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import msgspec

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.server.rest.exchange import Contract, decode
from weaviate_prism.server.rest.inputs import Ranking, best_first, ranked, ranking

# What the module sends where a collection names no model: the default one, here.
DEFAULT_MODEL = "rerank-v3.5"


class RerankRequest(msgspec.Struct):
    query: str
    documents: list[str] | None
    model: str = ""
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Result(msgspec.Struct):
    index: int
    relevance_score: float


class RerankResponse(msgspec.Struct):
    results: list[Result]


DECODER = msgspec.json.Decoder(RerankRequest)


def parse(body: bytes, settings: Settings) -> Ranking:
    """
    Raises:
        InvalidInput: not the JSON that is asked for.
        PrismError: as `ranking` does.
    """
    request = decode(DECODER, body)
    model = "" if request.model == DEFAULT_MODEL else request.model
    return ranking(request.query, request.documents or (), settings, key="documents", model=model, top=request.top_n)


async def answer(ranking: Ranking, engine: Engine, profile: str, deadline: float) -> bytes:
    """The scores, best first.

    Raises:
        PrismError: names every document that has none.
    """

    def response(scores: Collection[float]) -> RerankResponse:
        return RerankResponse([Result(*each) for each in best_first(scores, ranking.top)])

    return await ranked(ranking, engine, profile, deadline, response)


CONTRACT = Contract(("/v2/rerank",), ("reranker-cohere",), parse, answer)
