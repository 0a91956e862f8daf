"""A query and documents to scores: the query decoded once, documents decoded, prepared and scored a few at a time.

A document's error is a value in its place. Knows neither wires nor tensors.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from weaviate_prism.admission import Admission, until_deadline
from weaviate_prism.ahead import RERANK_BYTES, SHARED_BYTES, Ahead, Places
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge, Unsupported, check_limit
from weaviate_prism.intake import Intake, has_media, id_of
from weaviate_prism.jobs import Ticket, Work
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Asked, Clip, Content, Picture, Prepared, Reranker
from weaviate_prism.preparing import digests_of, in_time, kind_of, prepare_together
from weaviate_prism.room import LARGEST_AT_ONCE, kept
from weaviate_prism.stages import Stages
from weaviate_prism.units import TOGETHER, units_of, weight_of
from weaviate_prism.values import LOWEST_SCORE, Digest, Image, Item, Part, Seen, Text, Video

log = logging.getLogger(__name__)

# Queries are decoded once and kept until all documents are scored: largest pictures, or as many pixels. Documents
# have the other half of the room.
KEPT_AT_ONCE = LARGEST_AT_ONCE // 2
MOST_KEPT = f"{KEPT_AT_ONCE} times max_image_pixels"


@dataclass(frozen=True, slots=True)
class Request:
    """What all documents of a request have in common."""

    reranker: Reranker
    instruction: str
    video_frames: int
    ticket: Ticket
    digests: Mapping[int, Digest] = field(default_factory=dict)  # of their media, by `id`, where those may be known


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, once for all documents."""

    contents: Sequence[Content]
    asked: Asked
    kind: str  # see `kind_of`

    @property
    def unpatched(self) -> bool:
        return any(isinstance(content, Picture | Clip) for content in self.contents)


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
        self._works: WeakValueDictionary[Hashable, Work] = WeakValueDictionary()
        # the pixels of queries wait here, where no thread is held up
        self._most_kept = KEPT_AT_ONCE * settings.max_image_pixels
        self._keeping = Places(self._most_kept)
        self._sharing = Places(SHARED_BYTES)

    async def rerank(
        self, query: Item, documents: Sequence[Item | PrismError], request: Request
    ) -> list[float | PrismError]:
        """One score or error for each document.

        Raises:
            Overloaded, DeadlineExceeded
            InvalidInput, TooLarge, Unsupported: the query is wrong, or empty.
        """
        with self._admission.admitted(len(documents)):
            self._intake.count(request.reranker.info.kind, [query, *documents])
            check_query(query)
            request = replace(request, ticket=replace(request.ticket, work=await self._work(query, request)))
            request = replace(request, digests=await self._digests(documents, request))
            documents = [self._recognised(document, request) for document in documents]
            async with self._query(query, request) as read:
                # a picture that the model prepares anew with each document keeps a job busy by itself
                units = units_of((each, TOGETHER if read.unpatched else weight_of(each)) for each in documents)
                answers = await self._admission.answer_all(
                    units, lambda unit: self._of_unit(read, unit, request), request.ticket.deadline
                )
        scores = self._admission.counted(
            [
                score
                for unit, answer in zip(units, answers, strict=True)
                for score in ([answer] * len(unit) if isinstance(answer, PrismError) else answer)
            ]
        )
        return self._ranked(scores, documents) if self._bad_document == "last" else scores

    async def _work(self, query: Item, request: Request) -> Work:
        """One for all chunks of a search: Weaviate sends its documents in requests of 32, side by side."""
        async with until_deadline(request.ticket.deadline, "while the query was digested"):
            unseen = [part for part in query.parts if not isinstance(part, Seen)]
            digests = await digests_of(unseen, self._stages, request.ticket)
        of_query = tuple(id(part.patches) if isinstance(part, Seen) else digests[id(part)] for part in query.parts)
        return self._works.setdefault((request.reranker, request.instruction, request.video_frames, of_query), Work())

    @contextlib.asynccontextmanager
    async def _query(self, query: Item, request: Request) -> AsyncIterator[Query]:
        """The query decoded and made ready, until all documents are scored."""
        with contextlib.ExitStack() as keeping:
            try:
                async with until_deadline(request.ticket.deadline, "while the query was decoded"):
                    parts = self._intake.parts(query, request.reranker.info)
                    if has_media(parts):
                        pixels = await self._stages.on_cpu(
                            lambda: self._intake.pixels(parts, request.video_frames), request.ticket
                        )
                        if len(parts) > 1:  # one alone is within the limits on pictures and clips
                            check_limit("media", pixels, "pixels together", self._most_kept, MOST_KEPT)
                        pixels = min(pixels, self._most_kept)
                        await self._keeping.enter(pixels)
                        keeping.callback(self._keeping.leave, pixels)
                    read = await self._stages.on_cpu(lambda: self._read_query(parts, request), request.ticket)
                if shared := min(read.asked.nbytes, SHARED_BYTES):
                    # those who have it have all that others wait for, and no one waits for another
                    async with until_deadline(request.ticket.deadline, "while the device had no room for the query"):
                        await self._sharing.enter(shared)
                    keeping.callback(self._sharing.leave, shared)
            except PrismError as error:
                raise error.about("query") from None
            yield read

    def _read_query(self, parts: Sequence[Part], request: Request) -> Query:
        with kept():
            contents = self._intake.contents(parts, request.reranker, request.video_frames, {})
        return Query(contents, request.reranker.asked(contents, request.instruction), kind_of(parts))

    async def _digests(self, documents: Sequence[Item | PrismError], request: Request) -> Mapping[int, Digest]:
        """Of all media that may have been seen before, by the part's `id`."""
        if not self._intake.seen.serves(request.reranker):
            return {}
        parts = (part for document in documents if isinstance(document, Item) for part in document.parts)
        media = (part for part in parts if isinstance(part, Image | Video))
        async with until_deadline(request.ticket.deadline, "while the documents were digested"):
            return await digests_of(media, self._stages, request.ticket)

    def _recognised(self, document: Item | PrismError, request: Request) -> Item | PrismError:
        """With what the model has seen of its media in their place, which nothing can push out then."""
        if isinstance(document, PrismError) or not any(id(part) in request.digests for part in document.parts):
            return document
        return replace(document, parts=tuple(self._seen(part, request) or part for part in document.parts))

    def _seen(self, part: Part, request: Request) -> Seen | None:
        digest = request.digests.get(id(part))
        patches = digest and self._intake.seen.find(request.reranker, digest, request.video_frames)
        return Seen(patches, part.modality, part.field) if patches else None

    async def _of_unit(
        self, query: Query, documents: Sequence[Item | PrismError], request: Request
    ) -> list[float | PrismError]:
        """The score of each."""
        reranker, ticket = request.reranker, request.ticket
        media = sum(isinstance(each, Item) and has_media(each.parts) for each in documents)
        if not all(isinstance(content, str) for content in query.contents):
            media = len(documents)
        kinds = [(reranker, query.kind, kind_of(each.parts) if isinstance(each, Item) else "") for each in documents]
        with self._stages.backlog.entered(kinds, ticket) as entry:
            async with self._ahead.reserve(len(documents), media * reranker.media_bytes) as reserved:
                prepared = await prepare_together(
                    documents, entry.timed(lambda some: self._prepared(query, some, request)), self._stages, ticket
                )
                reserved.weigh(prepared)
                entry.prepared(self._stages.seconds(reranker, prepared))
                scores = await self._stages.on_device_together(reranker, prepared, ticket)
        return [score if isinstance(score, PrismError) else float(score) for score in scores]

    def _prepared(
        self, query: Query, documents: Sequence[Item | PrismError], request: Request
    ) -> list[Prepared | PrismError]:
        """Runs on one CPU thread."""
        reranker = request.reranker

        def pair(document: Item | PrismError) -> Prepared:
            parts = self._intake.parts(document, reranker.info)
            contents = self._intake.contents(parts, reranker, request.video_frames, request.digests)
            return reranker.prepare(query.asked, contents)

        return in_time(documents, pair)

    def _ranked(
        self, answers: Sequence[float | PrismError], documents: Sequence[Item | PrismError]
    ) -> list[float | PrismError]:
        """The answers, with the lowest score in the place of errors that the documents are to blame for."""
        to_blame = (InvalidInput, TooLarge, Unsupported)
        last = {number: each for number, each in enumerate(answers) if isinstance(each, to_blame)}
        if last:
            number = next(iter(last))
            first = f"{number}{id_of(documents[number])}: {last[number].message}"
            log.warning("%d of %d documents ranked last; the first is %s", len(last), len(answers), first)
            self._metrics.ranked_last.inc(len(last))
        return [LOWEST_SCORE if number in last else answer for number, answer in enumerate(answers)]


def check_query(query: Item) -> None:
    """
    Raises:
        InvalidInput: it is empty; Weaviate sends "" for a search that names none.
    """
    if not query.unreadable and all(part == Text("", part.field) for part in query.parts):
        raise InvalidInput("query: is empty; set `query` in the rerank argument of the search")
