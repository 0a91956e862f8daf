"""A query and documents to scores: the query decoded once, each document decoded, prepared and scored alone.

A document's error is a value in its place. Knows neither wires nor tensors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from weaviate_prism.admission import Admission
from weaviate_prism.ahead import RERANK_BYTES, Ahead, Places
from weaviate_prism.config import Settings
from weaviate_prism.errors import DeadlineExceeded, InvalidInput, PrismError, TooLarge, Unsupported, check_limit
from weaviate_prism.intake import Intake, id_of
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Content, Prepared, Reranker
from weaviate_prism.room import LARGEST_AT_ONCE, kept
from weaviate_prism.scheduler import Ticket
from weaviate_prism.stages import Stages
from weaviate_prism.values import LOWEST_SCORE, Item, Part, Text

T = TypeVar("T")

log = logging.getLogger(__name__)

# Queries are decoded once and kept until all documents are scored: largest pictures, or as many pixels. Documents
# have the other half of the room.
KEPT_AT_ONCE = LARGEST_AT_ONCE // 2
MOST_KEPT = f"{KEPT_AT_ONCE} times max_image_pixels"


class Reranking:
    """Used from one event loop."""

    def __init__(
        self, settings: Settings, metrics: Metrics, intake: Intake, stages: Stages, admission: Admission
    ) -> None:
        self._bad_document = settings.rerank_bad_document
        self._metrics = metrics
        self._intake = intake
        self._stages = stages
        self._admission = admission
        self._ahead = Ahead(RERANK_BYTES)
        # the pixels of queries wait here, where no thread is held up
        self._most_kept = KEPT_AT_ONCE * settings.max_image_pixels
        self._keeping = Places(self._most_kept)

    async def rerank(
        self, reranker: Reranker, query: Item, documents: Sequence[Item | PrismError], instruction: str, due: Ticket
    ) -> list[float | PrismError]:
        """One score or error for each document.

        Raises:
            Overloaded, DeadlineExceeded
            InvalidInput, TooLarge, Unsupported: the query is wrong, or empty.
        """
        with self._admission.admitted(len(documents)):
            self._intake.count(reranker.info.kind, [query, *documents])
            async with self._query(reranker, query, due) as asked:
                work = (self._score(reranker, asked, document, instruction, due) for document in documents)
                answers = await self._admission.answer_all(work, deadline=due.deadline)
        scores = self._admission.counted(answers)
        return [self._ranked(score, document) for score, document in zip(scores, documents, strict=True)]

    @contextlib.asynccontextmanager
    async def _query(self, reranker: Reranker, query: Item, due: Ticket) -> AsyncIterator[Sequence[Content]]:
        """The query decoded, until all documents are scored."""
        if not query.unreadable and all(part == Text("", part.field) for part in query.parts):
            # Weaviate sends "" for a search that names none
            raise InvalidInput("query: is empty; set `query` in the rerank argument of the search")
        with contextlib.ExitStack() as keeping:
            try:
                async with asyncio.timeout(due.deadline - time.monotonic()):
                    parts = self._intake.parts(query, reranker.info)
                    if has_media(parts):
                        pixels = _or_raise(await self._stages.on_cpu(_bare(self._intake.pixels, parts), due))
                        if len(parts) > 1:  # one alone is within the limits on pictures and clips
                            check_limit("media", pixels, "pixels together", self._most_kept, MOST_KEPT)
                        pixels = min(pixels, self._most_kept)
                        await self._keeping.enter(pixels)
                        keeping.callback(self._keeping.leave, pixels)
                    asked = _or_raise(await self._stages.on_cpu(_bare(self._decode_kept, parts), due))
            except TimeoutError:
                raise DeadlineExceeded("the deadline passed while the query was decoded") from None
            except PrismError as error:
                raise error.about("query") from None
            yield asked

    def _decode_kept(self, parts: Sequence[Part]) -> list[Content]:
        with kept():
            return self._intake.decode(parts)

    async def _score(
        self, reranker: Reranker, asked: Sequence[Content], document: Item | PrismError, instruction: str, due: Ticket
    ) -> float:
        parts = self._intake.parts(document, reranker.info)

        def prepare() -> Prepared:
            return reranker.prepare(asked, self._intake.decode(parts), instruction)

        media = has_media(parts) or not all(isinstance(content, str) for content in asked)
        async with self._ahead.reserve(1, media=int(media)) as reserved:
            prepared = _or_raise(await self._stages.on_cpu(_bare(prepare), due))
            reserved.weigh([prepared])
            return float(await self._stages.on_device(reranker.info, prepared, due))

    def _ranked(self, answer: float | PrismError, document: Item | PrismError) -> float | PrismError:
        if isinstance(answer, (InvalidInput, TooLarge, Unsupported)) and self._bad_document == "last":
            log.warning("a document%s is ranked last: %s", id_of(document), answer.message)
            self._metrics.ranked_last.inc()
            return LOWEST_SCORE
        return answer


def has_media(parts: Sequence[Part]) -> bool:
    return any(not isinstance(part, Text) for part in parts)


def _bare(function: Callable[..., T], *args: object) -> Callable[[], T | PrismError]:
    """Hands on an error without its frames: they hold decoded pictures, and with those their room."""

    def call() -> T | PrismError:
        try:
            return function(*args)
        except PrismError as error:
            return error.bare()

    return call


def _or_raise(result: T | PrismError) -> T:
    if isinstance(result, PrismError):
        raise result
    return result
