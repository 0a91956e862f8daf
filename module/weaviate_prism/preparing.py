"""From parts to what a model takes: each picture and clip decoded once for all inputs of a unit that read it.

All inputs of a unit are prepared by one job of a CPU thread, and what is decoded is dropped as soon as nothing else
in that job reads it: each thread has the media of one input in memory, seldom more, however many targets read them.
Where the model takes patches, those are what is shared, and the decoded picture is gone as soon as they are made.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from weaviate_prism.errors import Internal, PrismError, TooLarge
from weaviate_prism.intake import digest, has_media, name_of, size_of
from weaviate_prism.models.base import Content
from weaviate_prism.scheduling.jobs import Ticket
from weaviate_prism.scheduling.stages import Stages
from weaviate_prism.units import units_of
from weaviate_prism.values import Digest, Part

S = TypeVar("S")
T = TypeVar("T")

# A picture of a few kilobytes may have millions of pixels; a query waits no longer for a unit than for one of those.
JOB_SECONDS = 0.02
# Hashing the first takes about 0.3 ms: more is not done on the event loop. The second takes half of a job's time.
HASH_INLINE_BYTES, HASH_JOB_BYTES = 256 * 1024, 8 * 1024 * 1024
# Texts up to so long are taken for equally long; of longer ones, up to twice as long.
SHORT_BYTES = 128


@dataclass(frozen=True, slots=True)
class Input:
    """What the embedder reads at once: a message of several parts, or a single one."""

    parts: tuple[Part, ...]
    digests: tuple[Digest, ...]
    instruction: str

    @property
    def has_media(self) -> bool:
        return has_media(self.parts)


async def digests_of(parts: Iterable[Part], stages: Stages, ticket: Ticket) -> dict[int, Digest]:
    """The digest of every part, by the part's `id`.

    Raises:
        Unavailable
    """
    different = {id(part): part for part in parts}.values()
    if sum(map(size_of, different)) <= HASH_INLINE_BYTES:
        return _digests(different)
    jobs = units_of(((part, size_of(part)) for part in different), HASH_JOB_BYTES)
    done = await asyncio.gather(*(stages.on_cpu(functools.partial(_digests, job), ticket) for job in jobs))
    return {key: one for of_job in done for key, one in of_job.items()}


def _digests(parts: Iterable[Part]) -> dict[int, Digest]:
    return {id(part): digest(part) for part in parts}


async def prepare_together(
    inputs: Sequence[S], prepare: Callable[[Sequence[S]], list[T | PrismError]], stages: Stages, ticket: Ticket
) -> list[T | PrismError]:
    """Each input as `prepare` makes it ready, or why not; in one job of a CPU thread, if it is short.

    `prepare` does as many as it has time for (`in_time`), at least one; for the rest another job is queued.

    Raises:
        DeadlineExceeded, Unavailable
    """
    prepared: list[T | PrismError] = []
    together = True
    while rest := inputs[len(prepared) :]:
        some = rest if together else rest[:1]
        try:
            prepared += await stages.on_cpu(functools.partial(prepare, some), ticket)
        except (Internal, TooLarge) as error:  # the job itself: a bug, or no memory left
            if len(some) == 1:
                prepared.append(error)
            together = False
    return prepared


def in_time(
    inputs: Sequence[S], prepare: Callable[[S], T], may_stop: Callable[[], bool] = lambda: True
) -> list[T | PrismError]:
    """The first of the inputs, prepared one by one until the time of a job is up and it may stop."""
    end = time.monotonic() + JOB_SECONDS
    prepared: list[T | PrismError] = []
    for each in inputs:
        prepared.append(or_error(prepare, each))
        if time.monotonic() > end and may_stop():
            break
    return prepared


def kind_of(parts: Sequence[Part]) -> Hashable:
    """Equal for inputs that take about as long: of the same modalities, and of about the same size."""
    level = (sum(map(size_of, parts)) // SHORT_BYTES).bit_length()
    return (type(parts[0]) if len(parts) == 1 else frozenset(map(type, parts))), level


def or_error(make: Callable[[S], T], source: S) -> T | PrismError:
    """What `make` makes of it, or why not; without the error's frames: they hold decoded pictures, and their room."""
    try:
        return make(source)
    except PrismError as error:
        return error.bare()


class OnceDecoder:
    """Decodes each content once, whether it succeeds or not, and drops it with the last input that reads it."""

    def __init__(self, decode: Callable[[Part, Digest], Content], inputs: Sequence[Input]) -> None:
        self._decode = decode
        self._readers = Counter(digest for each in inputs for digest in each.digests)
        self._known: dict[Digest, Content | PrismError] = {}

    def contents(self, source: Input) -> list[Content]:
        """Of each part; to be called once for each input.

        Raises:
            InvalidInput, TooLarge, Unsupported, Overloaded
        """
        contents = [self._read(part, digest) for part, digest in zip(source.parts, source.digests, strict=True)]
        for number, content in enumerate(contents):
            if isinstance(content, PrismError):
                # who asked names a part that stands alone: equal content may have come under several names
                raise content.about(name_of(source.parts, number)) if len(source.parts) > 1 else content
        return [content for content in contents if not isinstance(content, PrismError)]

    def holds_nothing(self) -> bool:
        """Whether no later input reads what an earlier one has."""
        return not self._known

    def _read(self, part: Part, digest: Digest) -> Content | PrismError:
        if digest not in self._known:
            self._known[digest] = or_error(lambda part: self._decode(part, digest), part)
        self._readers[digest] -= 1
        return self._known[digest] if self._readers[digest] else self._known.pop(digest)
