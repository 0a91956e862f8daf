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
from weaviate_prism.backlog import Entry
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge, Unsupported, check_limit
from weaviate_prism.flights import Answers, Flights
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
    digests: Mapping[int, Digest] = field(default_factory=dict)  # of their media, by `id`


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, once for all documents."""

    contents: Sequence[Content]
    asked: Asked

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
            self._intake.count(request.reranker.info.kind, [query, *documents])
            check_query(query)
            async with until_deadline(request.ticket.deadline, "before the model was done"):
                scores = self._admission.counted(await self._known(query, documents, request))
        return self._ranked(scores, documents) if self._bad_document == "last" else scores

    async def _known(
        self, query: Item, documents: Sequence[Item | PrismError], request: Request
    ) -> list[float | PrismError]:
        """In flight, for this search or an equal one, or computed."""
        request = replace(request, ticket=replace(request.ticket, work=await self._work(query, request)))
        request = replace(request, digests=await self._digests(documents, request))
        documents = [self._recognised(document, request) for document in documents]
        keys = [key_of(document, request) for document in documents]
        different = dict(zip(keys, documents, strict=True))

        async def compute(missing: Sequence[Hashable]) -> Answers[float]:
            scores = await self._scores(query, [different[key] for key in missing], request)
            return dict(zip(missing, scores, strict=True))

        found = await self._flights.get(keys, compute, request.ticket)
        return [found[key] for key in keys]

    async def _work(self, query: Item, request: Request) -> Work:
        """One for all chunks of a search: Weaviate sends its documents in requests of 32, side by side."""
        unseen = [part for part in query.parts if not isinstance(part, Seen)]
        digests = await digests_of(unseen, self._stages, request.ticket)
        of_query = tuple(id(part.patches) if isinstance(part, Seen) else digests[id(part)] for part in query.parts)
        return self._works.setdefault((request.reranker, request.instruction, request.video_frames, of_query), Work())

    async def _digests(self, documents: Sequence[Item | PrismError], request: Request) -> Mapping[int, Digest]:
        """Of all media, by the part's `id`."""
        parts = (part for document in documents if isinstance(document, Item) for part in document.parts)
        media = (part for part in parts if isinstance(part, Image | Video))
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

    async def _scores(
        self, query: Item, documents: Sequence[Item | PrismError], request: Request
    ) -> list[float | PrismError]:
        """The score of each, of which all others are different."""
        about = kind_of(query.parts)
        kinds = [(request.reranker, about, kind_of(each.parts) if isinstance(each, Item) else "") for each in documents]
        with self._stages.backlog.entered(kinds, request.ticket) as entry:
            async with self._query(query, request) as read:
                # a picture that the model prepares anew with each document keeps a job busy by itself
                units = units_of(
                    ((each, kind), TOGETHER if read.unpatched else weight_of(each))
                    for each, kind in zip(documents, kinds, strict=True)
                )
                answers = await self._admission.answer_all(
                    units, lambda unit: self._of_unit(read, unit, entry, request)
                )
        return [
            score
            for unit, answer in zip(units, answers, strict=True)
            for score in ([answer] * len(unit) if isinstance(answer, PrismError) else answer)
        ]

    @contextlib.asynccontextmanager
    async def _query(self, query: Item, request: Request) -> AsyncIterator[Query]:
        """The query decoded and made ready, until all documents are scored."""
        with contextlib.ExitStack() as keeping:
            try:
                parts = self._intake.parts(query, request.reranker.info)
                if has_media(parts):
                    pixels = await self._stages.on_cpu(
                        lambda: self._intake.pixels(parts, request.video_frames), request.ticket
                    )
                    if len(parts) > 1:  # one alone is within the limits on pictures and clips
                        check_limit("media", pixels, "pixels together", self._most_kept, MOST_KEPT)
                    pixels = min(pixels, self._most_kept)
                    await self._keeping.enter(pixels, request.ticket)
                    keeping.callback(self._keeping.leave, pixels)
                read = await self._stages.on_cpu(lambda: self._read_query(parts, request), request.ticket)
                if shared := min(read.asked.nbytes, SHARED_BYTES):
                    # those who have it have all that others wait for, and no one waits for another
                    await self._sharing.enter(shared, request.ticket)
                    keeping.callback(self._sharing.leave, shared)
            except PrismError as error:
                raise error.about("query") from None
            yield read

    def _read_query(self, parts: Sequence[Part], request: Request) -> Query:
        with kept():
            contents = self._intake.contents(parts, request.reranker, request.video_frames, {})
        return Query(contents, request.reranker.asked(contents, request.instruction))

    async def _of_unit(
        self, query: Query, unit: Sequence[tuple[Item | PrismError, Hashable]], entry: Entry, request: Request
    ) -> list[float | PrismError]:
        """The score of each of these documents, which have the kinds beside them."""
        reranker, ticket = request.reranker, request.ticket
        documents, kinds = zip(*unit, strict=True)
        media = sum(isinstance(each, Item) and has_media(each.parts) for each in documents)
        if not all(isinstance(content, str) for content in query.contents):
            media = len(documents)
        share = entry.unit(kinds)
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
    if isinstance(document, PrismError) or document.unreadable:
        return id(document)
    parts = ((part.field, request.digests.get(id(part), part)) for part in document.parts)
    return request.ticket.work, *parts


def check_query(query: Item) -> None:
    """
    Raises:
        InvalidInput: it is empty; Weaviate sends "" for a search that names none.
    """
    if not query.unreadable and all(part == Text("", part.field) for part in query.parts):
        raise InvalidInput("query: is empty; set `query` in the rerank argument of the search")
