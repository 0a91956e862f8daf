"""POST /rerank of reranker-transformers: up to 32 documents a request, one score each in request order.

Weaviate sends what it has stored under one property, so a document may be text, the base64 of a picture or clip, or
the digest of a blobHash; it sends "" for null, numbers and lists, which is a valid, empty text.
"""

from __future__ import annotations

import msgspec

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import PrismError
from weaviate_prism.intake import check_count
from weaviate_prism.server.rest.encoding import document_item
from weaviate_prism.server.rest.errors import complete
from weaviate_prism.server.rest.exchange import Contract, decode
from weaviate_prism.values import Item


class RerankRequest(msgspec.Struct):
    """`property` is always sent and always empty."""

    query: str
    documents: list[str] | None  # Go's nil slice is null


class Inputs(msgspec.Struct, frozen=True):
    """What is to be ranked; a document that cannot be read is its error."""

    query: Item
    documents: list[Item | PrismError]


class Score(msgspec.Struct):
    """Weaviate never reads the echo of the document that its own container sends."""

    score: float


class RerankResponse(msgspec.Struct):
    scores: list[Score]


DECODER = msgspec.json.Decoder(RerankRequest)


def parse(body: bytearray, settings: Settings) -> Inputs:
    """Query and documents, each as text, picture, clip, or several of them.

    Raises:
        InvalidInput: not the JSON that is asked for.
        TooLarge: too many documents.
        PrismError: the query cannot be read.
    """
    request = decode(DECODER, body)
    check_count(len(request.documents or ()), settings)
    documents = [document_item(document, settings) for document in request.documents or ()]
    query = document_item(request.query, settings)
    if isinstance(query, PrismError):
        raise query.about("query")
    return Inputs(query, documents)


async def answer(inputs: Inputs, engine: Engine, deadline: float) -> bytes:
    """One score per document.

    Raises:
        PrismError: names every document that has none.
    """
    if not inputs.documents:
        return msgspec.json.encode(RerankResponse([]))
    results = await engine.rerank(inputs.query, inputs.documents, deadline=deadline)
    scores = complete({f"documents[{number}]": result for number, result in enumerate(results)})
    return msgspec.json.encode(RerankResponse([Score(score) for score in scores.values()]))


CONTRACT = Contract("/rerank", parse, lambda inputs: (inputs.query, *inputs.documents), answer)
