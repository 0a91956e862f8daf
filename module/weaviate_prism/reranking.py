"""A query and documents to scores: the query decoded once, each document decoded, prepared and scored alone.

A document's error is a value in its place. Knows neither wires nor tensors.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from weaviate_prism.admission import Admission
from weaviate_prism.config import Settings
from weaviate_prism.errors import DeadlineExceeded, InvalidInput, PrismError, TooLarge, Unsupported
from weaviate_prism.intake import Intake
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Content, Reranker
from weaviate_prism.scheduler import Ticket
from weaviate_prism.stages import Ahead, Stages
from weaviate_prism.values import LOWEST_SCORE, Item, Text

log = logging.getLogger(__name__)


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
        self._ahead = Ahead()

    async def rerank(
        self, reranker: Reranker, query: Item, documents: Sequence[Item | PrismError], instruction: str, due: Ticket
    ) -> list[float | PrismError]:
        """One score or error for each document.

        Raises:
            Overloaded, DeadlineExceeded
            InvalidInput, TooLarge, Unsupported: the query is wrong, or empty.
        """
        self._admission.check_room(len(documents))
        asked = await self._query(reranker, query, due)
        work = (self._score(reranker, asked, document, instruction, due) for document in documents)
        answers = await self._admission.answer_all(work, len(documents), due.deadline)
        return [self._ranked(answer) for answer in self._admission.counted(answers)]

    async def _query(self, reranker: Reranker, query: Item, due: Ticket) -> Sequence[Content]:
        if not query.unreadable and all(part == Text("", part.field) for part in query.parts):
            # Weaviate sends "" for a search that names none
            raise InvalidInput("query: is empty; set `query` in the rerank argument of the search")
        try:
            async with asyncio.timeout(due.deadline - time.monotonic()):
                parts = self._intake.parts(query, reranker.info)
                return await self._stages.on_cpu(lambda: self._intake.decode(parts), due)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the query was decoded") from None
        except PrismError as error:
            raise error.about("query") from None

    async def _score(
        self, reranker: Reranker, asked: Sequence[Content], document: Item | PrismError, instruction: str, due: Ticket
    ) -> float:
        parts = self._intake.parts(document, reranker.info)
        await self._ahead.enter(1)
        try:
            prepared = await self._stages.on_cpu(
                lambda: reranker.prepare(asked, self._intake.decode(parts), instruction), due
            )
            return float(await self._stages.on_device(reranker.info, prepared, due))
        finally:
            self._ahead.leave(1)

    def _ranked(self, answer: float | PrismError) -> float | PrismError:
        if isinstance(answer, (InvalidInput, TooLarge, Unsupported)) and self._bad_document == "last":
            log.warning("a document is ranked last: %s", answer.message)
            self._metrics.ranked_last.inc()
            return LOWEST_SCORE
        return answer
