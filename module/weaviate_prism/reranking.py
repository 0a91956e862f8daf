"""A query and documents to scores: the query decoded once, documents decoded, prepared and scored a few at a time.

A document's error is a value in its place. Knows neither wires nor tensors.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from weakref import WeakValueDictionary

from weaviate_prism.admission import Admission, until_deadline
from weaviate_prism.aside import aside
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge, Unsupported, check_limit
from weaviate_prism.flights import Answers, Flights
from weaviate_prism.intake import Intake, has_media, id_of
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Asked, Clip, Content, Picture, Prepared, Reranker
from weaviate_prism.preparing import digests_of, in_time, kind_of, prepare_together
from weaviate_prism.room import LARGEST_AT_ONCE, kept
from weaviate_prism.scheduling.ahead import RERANK_BYTES, SHARED_BYTES, Ahead, Places
from weaviate_prism.scheduling.backlog import Unit
from weaviate_prism.scheduling.jobs import Ticket, Work
from weaviate_prism.scheduling.stages import Stages
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
    digests: Mapping[int, Digest] = field(default_factory=dict)  # of their media, by `id`


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, once for all documents."""

    contents: Sequence[Content]
    asked: Asked

    @property
    def unpatched(self) -> bool:
        return any(isinstance(content, Picture | Clip) for content in self.contents)


class Document(NamedTuple):
    """One of those that are ranked."""

    key: Hashable  # see `key_of`
    document: Item | PrismError
    kind: Hashable  # equal for those that take about as long
    weight: int  # in its unit


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
        self._flights: Flights[float] = Flights(metrics.shared_documents.inc)
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
            check_query(query)
            asked = self._asked(query, request)
            request = replace(request, ticket=replace(request.ticket, work=await self._work(asked, request)))
            request = replace(request, digests=await self._digests(documents, request))
            ranked = await aside(len(documents), self._read, query, documents, request)
            different = {each.key: each for each in ranked}
            answers = await self._scores(asked, list(different.values()), request)
            scores = self._admission.counted([answers[each.key] for each in ranked])
            self._metrics.shared_documents.inc(len(ranked) - len(different))
        return self._ranked(scores, documents) if self._bad_document == "last" else scores

    def _asked(self, query: Item, request: Request) -> Sequence[Part]:
        """Its parts, once the model can read them."""
        try:
            return self._intake.parts(query, request.reranker.info)
        except PrismError as error:
            raise error.about("query") from None

    async def _work(self, asked: Sequence[Part], request: Request) -> Work:
        """One for all chunks of a search: Weaviate sends its documents in requests of 32, side by side."""
        async with until_deadline(request.ticket.deadline, "while the query was digested"):
            unseen = [part for part in asked if not isinstance(part, Seen)]
            digests = await digests_of(unseen, self._stages, request.ticket)
        of_query = tuple(id(part.patches) if isinstance(part, Seen) else digests[id(part)] for part in asked)
        return self._works.setdefault((request.reranker, request.instruction, request.video_frames, of_query), Work())

    async def _digests(self, documents: Sequence[Item | PrismError], request: Request) -> Mapping[int, Digest]:
        """Of all media, by the part's `id`."""
        parts = (part for document in documents if isinstance(document, Item) for part in document.parts)
        media = (part for part in parts if isinstance(part, Image | Video))
        async with until_deadline(request.ticket.deadline, "while the documents were digested"):
            return await digests_of(media, self._stages, request.ticket)

    async def _scores(
        self, asked: Sequence[Part], documents: Sequence[Document], request: Request
    ) -> dict[Hashable, float | PrismError]:
        """The score of each by its key; all are different."""
        own = {each.key: each.kind for each in documents if not self._flights.joins(each.key, request.ticket)}
        with self._stages.backlog.entered(list(own.values()), request.ticket) as entry:
            async with self._query(asked, request) as query:
                # a picture that the model prepares anew with each document keeps a job busy by itself
                units = units_of((each, TOGETHER if query.unpatched else each.weight) for each in documents)
                answers = await self._admission.answer_all(
                    units,
                    lambda unit: self._of_unit(
                        query, unit, entry.unit([each.kind for each in unit if each.key in own]), request
                    ),
                    request.ticket.deadline,
                )
        return {
            each.key: answer if isinstance(answer, PrismError) else answer[each.key]
            for unit, answer in zip(units, answers, strict=True)
            for each in unit
        }

    def _read(self, query: Item, documents: Sequence[Item | PrismError], request: Request) -> list[Document]:
        """What there is to know of each before it is decoded."""
        self._intake.count(request.reranker.info.kind, [query, *documents])
        about = request.reranker, kind_of(query.parts)
        return [self._document(document, about, request) for document in documents]

    def _document(self, given: Item | PrismError, about: Hashable, request: Request) -> Document:
        document, parts = given, given.parts if isinstance(given, Item) else ()
        if isinstance(document, Item) and request.digests:
            parts = tuple(self._seen(part, request) or part for part in parts)
            document = replace(document, parts=parts)
        return Document(key_of(given, request), document, (about, kind_of(parts)), weight_of(document))

    def _seen(self, part: Part, request: Request) -> Seen | None:
        """What the model has seen of it before, which nothing can push out then."""
        digest = request.digests.get(id(part))
        if digest is None or not self._intake.seen.serves(request.reranker):
            return None
        patches = self._intake.seen.find(request.reranker, digest, request.video_frames)
        return Seen(patches, part.modality, part.field) if patches else None

    @contextlib.asynccontextmanager
    async def _query(self, asked: Sequence[Part], request: Request) -> AsyncIterator[Query]:
        """The query decoded and made ready, until all documents are scored, or the caller has gone: what then goes on
        for others keeps it a little longer.
        """
        with contextlib.ExitStack() as keeping:
            try:
                async with until_deadline(request.ticket.deadline, "while the query was decoded"):
                    if has_media(asked):
                        pixels = await self._stages.on_cpu(
                            lambda: self._intake.pixels(asked, request.video_frames), request.ticket
                        )
                        if len(asked) > 1:  # one alone is within the limits on pictures and clips
                            check_limit("media", pixels, "pixels together", self._most_kept, MOST_KEPT)
                        pixels = min(pixels, self._most_kept)
                        await self._keeping.enter(pixels, request.ticket)
                        keeping.callback(self._keeping.leave, pixels)
                    read = await self._stages.on_cpu(lambda: self._read_query(asked, request), request.ticket)
                if shared := min(read.asked.nbytes, SHARED_BYTES):
                    # those who have it have all that others wait for, and no one waits for another
                    async with until_deadline(request.ticket.deadline, "while the device had no room for the query"):
                        await self._sharing.enter(shared, request.ticket)
                    keeping.callback(self._sharing.leave, shared)
            except PrismError as error:
                raise error.about("query") from None
            yield read

    def _read_query(self, parts: Sequence[Part], request: Request) -> Query:
        with kept():
            contents = self._intake.contents(parts, request.reranker, request.video_frames, {})
        return Query(contents, request.reranker.asked(contents, request.instruction))

    async def _of_unit(self, query: Query, unit: Sequence[Document], share: Unit, request: Request) -> Answers[float]:
        """The score of each by its key: in flight, for this search or an equal one, or computed."""
        by_key = {each.key: each for each in unit}
        with share:

            async def compute(missing: Sequence[Hashable]) -> Answers[float]:
                some = [by_key[key] for key in missing]
                share.narrow([each.kind for each in some])
                scores = await self._together(query, [each.document for each in some], share, request)
                return dict(zip(missing, scores, strict=True))

            share.narrow([])  # to nothing, if all are in flight
            return await self._flights.get(list(by_key), compute, request.ticket)

    async def _together(
        self, query: Query, documents: Sequence[Item | PrismError], share: Unit, request: Request
    ) -> list[float | PrismError]:
        reranker, ticket = request.reranker, request.ticket
        media = sum(isinstance(each, Item) and has_media(each.parts) for each in documents)
        if not all(isinstance(content, str) for content in query.contents):
            media = len(documents)
        async with self._ahead.reserve(len(documents), media * reranker.media_bytes, ticket) as reserved:
            prepared = await prepare_together(
                documents, share.timed(lambda some: self._prepared(query, some, request)), self._stages, ticket
            )
            reserved.weigh(prepared)
            scores = await self._stages.on_device_together(reranker, prepared, ticket, share)
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


def key_of(document: Item | PrismError, request: Request) -> Hashable:
    """Equal for documents of one search, whose work is the same, that get the same score or error."""
    if isinstance(document, PrismError):
        return request.ticket.work, document
    parts = ((part.field, request.digests.get(id(part), part)) for part in document.parts)
    return request.ticket.work, document.unreadable, *parts


def check_query(query: Item) -> None:
    """
    Raises:
        InvalidInput: it is empty; Weaviate sends "" for a search that names none.
    """
    if not query.unreadable and all(part == Text("", part.field) for part in query.parts):
        raise InvalidInput("query: is empty; set `query` in the rerank argument of the search")
