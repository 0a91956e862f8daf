"""POST /vectors of text2vec-transformers and of img2vec-neural, told apart by the body: one text or one picture.

Both say whether it is a search that asks: the one in `task_type`, the other by an `id` of its own making. A picture's
error reaches the user as a status only, since img2vec-neural drops every text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput
from weaviate_prism.server.rest.exchange import Contract, decode, unknown_keys
from weaviate_prism.server.rest.inputs import Inputs, media, text, vectorized
from weaviate_prism.values import Image, Task, Vector

TASKS = {"passage": Task.DOCUMENT, "query": Task.QUERY}
# img2vec-neural names an object's picture by UUID and number, a search's by this and the time.
SEARCH = "search_"


class Config(msgspec.Struct):
    """Of text2vec-transformers; older ones send no task."""

    task_type: Literal["passage", "query"] | None = None
    dimensions: int | None = None


class VectorsRequest(msgspec.Struct):
    """text2vec-transformers also sends the fields of an answer, all empty."""

    text: str | None = None
    image: str | None = None
    id: str = ""
    config: Config | None = None


class VectorsResponse(msgspec.Struct):
    """One module reads `dim`, the other `dims`, neither any echo; Go wants whole numbers."""

    vector: Vector
    dim: int
    dims: int


DECODER = msgspec.json.Decoder(VectorsRequest)


def parse(body: bytes, settings: Settings) -> Inputs:
    """
    Raises:
        InvalidInput: not the JSON that is asked for.
    """
    request = decode(DECODER, body)
    if (request.text is None) == (request.image is None):
        raise InvalidInput(f"the body: must have either text or image{unknown_keys(DECODER, body)}")
    if request.text is not None:
        config = request.config or Config()
        task = TASKS.get(config.task_type or "")
        return Inputs(items={"text": text(request.text)}, task=task, dimensions=config.dimensions or 0)
    side = Task.QUERY if request.id.startswith(SEARCH) else Task.DOCUMENT
    return Inputs(items={"image": media(Image, request.image or "", settings)}, task=side)


async def answer(inputs: Inputs, engine: Engine, profile: str, deadline: float) -> bytes:
    """
    Raises:
        PrismError: there is no vector.
    """
    return await vectorized(inputs, engine, profile, deadline, response)


def response(vectors: Mapping[str, Vector]) -> VectorsResponse:
    (vector,) = vectors.values()
    return VectorsResponse(vector, dim=len(vector), dims=len(vector))


CONTRACT = Contract(
    ("/vectors",),
    ("text2vec-transformers", "img2vec-neural"),
    parse,
    answer,
    note="text2vec-transformers: pooling_strategy is ignored, the model's own pooling is used",
)
