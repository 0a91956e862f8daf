"""Digests in items to the media that they stand for, as if these had come in now.

    digests -> sizes, within the limits on bytes -> files read on CPU threads -> parts of what their bytes are

A digest without media is an error in its item, or the text that it may be as well. Knows nothing of models.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from weaviate_prism.admission import Admission, until_deadline
from weaviate_prism.config import Settings
from weaviate_prism.errors import PrismError, Unsupported, check_limit
from weaviate_prism.intake import check_stated, media_part
from weaviate_prism.metrics import Metrics
from weaviate_prism.preparing import in_time, prepare_together
from weaviate_prism.scheduling.jobs import Ticket
from weaviate_prism.scheduling.stages import Stages
from weaviate_prism.store import MediaStore
from weaviate_prism.values import Item, Part, Seen, Stored, Text

# What is there under a digest, or why there is nothing.
Found: TypeAlias = bytes | Seen | PrismError

log = logging.getLogger(__name__)


class Recalling:
    """Used from one event loop."""

    def __init__(
        self, settings: Settings, metrics: Metrics, store: MediaStore, stages: Stages, admission: Admission
    ) -> None:
        self._max_bytes = settings.max_request_bytes
        self._metrics = metrics
        self._store = store
        self._stages = stages
        self._admission = admission

    @contextlib.asynccontextmanager
    async def recalled(
        self,
        items: Sequence[Item | PrismError],
        ticket: Ticket,
        seen: Callable[[str], Seen | None] = lambda digest: None,
    ) -> AsyncIterator[Sequence[Item | PrismError]]:
        """The items with their media, whose bytes count among those of all requests while the block lasts.

        What the model has `seen` needs no bytes.

        Raises:
            TooLarge: the request would be over its limit, had it brought these media itself.
            Overloaded, DeadlineExceeded
        """
        named = [each.digest for item in items if isinstance(item, Item) for _, each in item.stored]
        if not named:
            yield items
            return
        known = {digest: one for digest in dict.fromkeys(named) if (one := seen(digest))}
        with self._admission.bytes_held() as held:
            size = sum(self._store.size(digest) for digest in named if digest not in known)
            check_limit("a request with its stored media", size, "bytes", self._max_bytes, "max_request_bytes")
            held.resize(size)
            read = await self._read([digest for digest in dict.fromkeys(named) if digest not in known], ticket)
            self._tell(items, read)
            found = {**known, **read}
            yield [with_media(item, found) if isinstance(item, Item) and item.stored else item for item in items]

    async def _read(self, digests: Sequence[str], ticket: Ticket) -> Mapping[str, bytes | PrismError]:
        async with until_deadline(ticket.deadline, "while stored media were read"):
            read = await prepare_together(digests, lambda some: in_time(some, self._store.read), self._stages, ticket)
        return dict(zip(digests, read, strict=True))

    def _tell(self, items: Sequence[Item | PrismError], found: Mapping[str, bytes | PrismError]) -> None:
        hits = sum(isinstance(each, bytes) for each in found.values())
        self._metrics.media_store.labels("hit").inc(hits)
        self._metrics.media_store.labels("miss").inc(len(found) - hits)
        texts = [
            each.digest
            for item in items
            if isinstance(item, Item)
            for _, each in item.stored
            if each.or_text and isinstance(found.get(each.digest), Unsupported)
        ]
        if texts:
            self._metrics.digests_as_text.inc(len(texts))
            log.info("%d texts look like digests of media, none of them stored; the first: %s", len(texts), texts[0])


def with_media(item: Item, found: Mapping[str, Found]) -> Item:
    """The item with a part, or the reason why there is none, in the place of each digest."""
    given, stored = iter(item.parts), dict(item.stored)
    parts: list[Part] = []
    unreadable = list(item.unreadable)
    count = len(item.parts) + len(stored)
    for place in range(count):
        if place not in stored:
            parts.append(next(given))
            continue
        each = stored[place]
        try:
            parts.append(_part(each, found[each.digest]))
        except PrismError as error:
            name = each.field or (f"parts[{place}]" if count > 1 else "")
            unreadable.append((each.field, error.about(name)))
    return Item(tuple(parts), tuple(unreadable), item.id)


def _part(stored: Stored, found: Found) -> Part:
    if isinstance(found, bytes):
        return media_part(found, stored.stated, stored.field)
    if isinstance(found, Seen):
        check_stated(stored.stated, found.modality)
        return replace(found, field=stored.field)
    if stored.or_text and isinstance(found, Unsupported):
        return Text(stored.digest, stored.field)
    raise found
