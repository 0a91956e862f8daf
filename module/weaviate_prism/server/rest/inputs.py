"""What doors have in common: inputs by the names that errors give them, and what the engine makes of them.

A model is named by the address (`/p/<profile>/...`), else by the body. The address wins: whoever runs a client
that names a model of its own can still choose another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import msgspec
import numpy as np

from weaviate_prism.aside import aside
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import PrismError
from weaviate_prism.intake import check_count
from weaviate_prism.profiles import RERANKER
from weaviate_prism.server.requests import INLINE_VECTORS
from weaviate_prism.server.rest.encoding import document_item, media_part
from weaviate_prism.server.rest.errors import combined, complete
from weaviate_prism.values import Image, Item, Priority, Target, Task, Text, Vector, Video, item_of

ENCODER = msgspec.json.Encoder(enc_hook=np.ndarray.tolist)


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be vectorized; an input that cannot be read is its error."""

    items: dict[str, Item | PrismError]
    task: Task | None = None  # None: the contract does not tell queries from documents
    model: str = ""  # as in values.Target
    dimensions: int = 0

    def every(self) -> Iterable[Item | PrismError]:
        return self.items.values()

    def forget(self) -> None:
        self.items.clear()


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be ranked; a document that cannot be read is its error."""

    query: Item
    documents: dict[str, Item | PrismError]
    model: str = ""
    top: int | None = None  # how many of the best are asked for; None: all

    def every(self) -> Iterable[Item | PrismError]:
        return (self.query, *self.documents.values())

    def forget(self) -> None:
        self.documents.clear()


def text(text: str) -> Item:
    return Item((Text(text),))


def media(kind: type[Image | Video], text: str, settings: Settings) -> Item | PrismError:
    try:
        return item_of([media_part(kind, text, settings)])
    except PrismError as error:
        return error


def joined(inputs: Inputs) -> Inputs:
    """All inputs as the parts of one, in their order; errors name the parts as they did the inputs."""
    bad = {name: item for name, item in inputs.items.items() if isinstance(item, PrismError)}
    named = ((name, item) for name, item in inputs.items.items() if isinstance(item, Item))
    parts = [
        replace(part, field=name)
        for name, item in named
        for part in (*item.parts, *(stored for _, stored in item.stored))
    ]
    return msgspec.structs.replace(inputs, items={"": combined(bad) if bad else item_of(parts)})


def ranking(
    query: str, documents: Collection[str], settings: Settings, *, key: str, model: str = "", top: int | None = None
) -> Ranking:
    """Query and documents, each as text, picture, clip, or several; errors name documents by the contract's `key`.

    Raises:
        TooLarge: too many documents.
        PrismError: the query cannot be read.
    """
    check_count(len(documents), settings)
    items = {f"{key}[{number}]": document_item(document, settings) for number, document in enumerate(documents)}
    asked = document_item(query, settings)
    if isinstance(asked, PrismError):
        raise asked.about("query")
    return Ranking(query=asked, documents=items, model=model, top=top)


async def vectorized(
    inputs: Inputs,
    engine: Engine,
    profile: str,
    deadline: float,
    response: Callable[[dict[str, Vector]], msgspec.Struct],
) -> bytes:
    """JSON of the response that is made of one vector for every input, by its name.

    Where the contract does not tell, one text alone is what a search sends: it gets priority, and the
    prompt is the same for both sides (`stock_prompt`).

    Raises:
        PrismError: names every input that has none.
    """
    query = inputs.task is Task.QUERY or (inputs.task is None and _is_one_text(inputs))
    target = Target(model=profile or inputs.model, dimensions=inputs.dimensions)
    try:
        (results,) = await engine.vectorize(
            list(inputs.items.values()),
            task=inputs.task or Task(engine.settings.stock_prompt),
            targets=[target],
            priority=Priority.QUERY if query else Priority.BULK,
            deadline=deadline,
        )
    except PrismError as error:  # no contract has a word for targets
        raise type(error)(error.message.removeprefix("targets[0]: ")) from None

    def encoded() -> bytes:
        return ENCODER.encode(response(complete(dict(zip(inputs.items, results, strict=True)))))

    return await aside(len(results), encoded, inline=INLINE_VECTORS)


async def ranked(
    ranking: Ranking, engine: Engine, profile: str, deadline: float, response: Callable[[list[float]], msgspec.Struct]
) -> bytes:
    """JSON of the response that is made of one score for every document, in request order.

    Raises:
        PrismError: names every document that has none.
    """
    if not ranking.documents:
        engine.profiles.find(profile or ranking.model, RERANKER)
        return ENCODER.encode(response([]))
    documents = list(ranking.documents.values())
    results = await engine.rerank(ranking.query, documents, model=profile or ranking.model, deadline=deadline)

    def encoded() -> bytes:
        return ENCODER.encode(response(list(complete(dict(zip(ranking.documents, results, strict=True))).values())))

    return await aside(len(results), encoded)


def best_first(scores: Collection[float], top: int | None = None) -> list[tuple[int, float]]:
    """The positions and scores of the best; equal scores stay in request order."""
    return sorted(enumerate(scores), key=lambda each: each[1], reverse=True)[:top]


def _is_one_text(inputs: Inputs) -> bool:
    match list(inputs.items.values()):
        case [Item(parts=(Text(),))]:
            return True
    return False
