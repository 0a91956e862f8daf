"""POST /v1/retrieval/nvidia/reranking of reranker-nvidia: up to 512 passages a request, with a collection's own model.

The module goes by `index` and wants every passage answered. Passages and query are read as at /rerank; a `logit` is
whatever the model's score is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from starlette.responses import Response

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.server.rest.errors import error_body
from weaviate_prism.server.rest.exchange import Contract, decode
from weaviate_prism.server.rest.inputs import Ranking, best_first, ranked, ranking

# What the module sends where a collection names no model: the default one, here.
DEFAULT_MODEL = "nvidia/rerank-qa-mistral-4b"
# The module shows an error's text only of 402 and 403: of 422 it wants a list, of the others it tells the number alone.
UNHEARD, HEARD = (400, 404, 413, 422, 429), 403


class Passage(msgspec.Struct, gc=False):
    text: str


class RerankRequest(msgspec.Struct):
    query: Passage
    passages: list[Passage] | None
    model: str = ""


class Ranked(msgspec.Struct):
    index: int
    logit: float


class RerankResponse(msgspec.Struct):
    rankings: list[Ranked]


DECODER = msgspec.json.Decoder(RerankRequest)


def parse(body: bytes, settings: Settings) -> Ranking:
    """
    Raises:
        InvalidInput: not the JSON that is asked for.
        PrismError: as `ranking` does.
    """
    request = decode(DECODER, body)
    passages = [passage.text for passage in request.passages or ()]
    model = "" if request.model == DEFAULT_MODEL else request.model
    return ranking(request.query.text, passages, settings, key="passages", model=model)


async def answer(ranking: Ranking, engine: Engine, profile: str, deadline: float) -> bytes:
    """The scores, best first.

    Raises:
        PrismError: names every passage that has none.
    """
    return await ranked(ranking, engine, profile, deadline, response)


def response(scores: Collection[float]) -> RerankResponse:
    return RerankResponse([Ranked(*each) for each in best_first(scores)])


def failure(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return error_body(message, HEARD if status in UNHEARD else status, headers)


CONTRACT = Contract(("/v1/retrieval/nvidia/reranking",), ("reranker-nvidia",), parse, answer, failure)
