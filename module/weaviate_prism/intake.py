"""What a request brings in: parts checked against the model and the limits, named, digested, decoded.

All of it but the checks runs on CPU threads. Knows nothing of queues or batches.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge, Unsupported, check_limit
from weaviate_prism.media import NO_MEDIA, MediaDecoder, recognise
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Content, Model, Patches, WantedSize
from weaviate_prism.store import digest_of
from weaviate_prism.tracing import shown
from weaviate_prism.values import (
    MAX_INSTRUCTION_CHARACTERS,
    Digest,
    Image,
    Item,
    Modality,
    ModelInfo,
    Part,
    Seen,
    Text,
    Video,
)
from weaviate_prism.vision_cache import VisionCache

T = TypeVar("T")

NAMES = {Modality.TEXT: "a text", Modality.IMAGE: "a picture", Modality.VIDEO: "a clip"}


class Intake:
    """One per engine; thread-safe."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._decoder = MediaDecoder(settings)
        self.seen = VisionCache(settings.vision_cache_bytes, metrics)

    def parts(self, item: Item | PrismError, info: ModelInfo, fields: Sequence[str] = ()) -> Sequence[Part]:
        """The parts to be read, once the model can read them and texts are within their limit.

        Raises:
            PrismError: where the door could not read the item, or one of these parts.
            InvalidInput, Unsupported, TooLarge
        """
        if isinstance(item, PrismError):
            raise item
        for field, error in item.unreadable:
            if not fields or field in fields:
                raise error
        parts = [part for part in item.parts if not fields or part.field in fields]
        if not parts:
            raise InvalidInput("has no part of the target's fields" if fields else "has no parts")
        for number, part in enumerate(parts):
            try:
                self._check(part, info)
            except PrismError as error:
                raise error.about(name_of(parts, number)) from None
        return parts

    def count(self, kind: str, items: Iterable[Item | PrismError]) -> None:
        """Counts what a request brings for this kind of work; once, however many targets read it."""
        modalities = Counter(part.modality for item in items if isinstance(item, Item) for part in item.parts)
        for modality, parts in modalities.items():
            self._metrics.items.labels(kind, modality).inc(parts)

    def contents(
        self, parts: Sequence[Part], model: Model, video_frames: int, digests: Mapping[int, Digest]
    ) -> list[Content]:
        """See `content`; the digests by the part's `id`, as far as they are known.

        Raises:
            InvalidInput, TooLarge, Unsupported, Overloaded: naming the part.
        """
        return _of_each(parts, lambda part: self.content(part, model, video_frames, digests.get(id(part))))

    def content(self, part: Part, model: Model, video_frames: int, known: Digest | None = None) -> Content:
        """A text as it is, a picture or clip as patches that the model has seen before, or else decoded for it.

        Raises:
            InvalidInput, TooLarge, Unsupported, Overloaded
        """
        if isinstance(part, Text):
            return part.text
        if isinstance(part, Seen):
            patches: Patches = part.patches
            return patches
        key = (known or digest(part)) if self.seen.serves(model) else None
        if key and (found := self.seen.find(model, key, video_frames)):
            return found
        made = model.patched(self.decode_part(part, video_frames, model.wanted_size))
        return self.seen.keep(model, key, video_frames, made) if key and isinstance(made, Patches) else made

    def pixels(self, parts: Sequence[Part], video_frames: int) -> int:
        """How many pixels there are to be decoded; reads headers and packets.

        Raises:
            InvalidInput, TooLarge, Unsupported: naming the part.
        """
        return sum(_of_each(parts, lambda part: self._pixels_of(part, video_frames)))

    def decode_part(self, part: Text | Image | Video, video_frames: int, wanted: WantedSize | None) -> Content:
        """A clip as so many of its frames; `wanted` as in `MediaDecoder.picture`.

        Raises:
            InvalidInput, TooLarge, Unsupported
        """
        if isinstance(part, Text):
            return part.text
        with self._failures_counted(part):
            if isinstance(part, Image):
                return self._decoder.picture(part.data, wanted)
            return self._decoder.clip(part.data, video_frames)

    def _pixels_of(self, part: Part, video_frames: int) -> int:
        if isinstance(part, Text | Seen):
            return 0
        with self._failures_counted(part):
            if isinstance(part, Image):
                return self._decoder.picture_pixels(part.data)
            return self._decoder.clip_pixels(part.data, video_frames)

    @contextlib.contextmanager
    def _failures_counted(self, part: Part) -> Iterator[None]:
        try:
            yield
        except PrismError:
            self._metrics.decode_failures.labels(part.modality).inc()
            raise

    def _check(self, part: Part, info: ModelInfo) -> None:
        if part.modality not in info.modalities:
            known = ", ".join(sorted(info.modalities))
            raise Unsupported(f"{info.name} does not take {part.modality}, only {known}")
        limit = self._settings.max_text_bytes
        # At most 4 bytes a character: short texts need no encoding to be sure.
        if isinstance(part, Text) and len(part.text) * 4 > limit:
            check_limit("a text", len(encoded(part.text)), "bytes", limit, "max_text_bytes")


def media_part(data: bytes, stated: Modality | None = None, field: str = "") -> Image | Video:
    """A picture or clip, whichever the bytes are.

    Raises:
        InvalidInput: neither, or not what the caller says that it is.
    """
    found = recognise(data)
    if found is None:
        known = NO_MEDIA.get(stated) if stated else None
        raise InvalidInput(known or "neither a picture nor a clip of a known format")
    check_stated(stated, found)
    return (Image if found is Modality.IMAGE else Video)(data, field)


def check_stated(stated: Modality | None, found: Modality) -> None:
    """
    Raises:
        InvalidInput
    """
    if stated not in (None, found):
        raise InvalidInput(f"is {NAMES[found]}, and stated as {NAMES[stated]}")


def _of_each(parts: Sequence[Part], make: Callable[[Part], T]) -> list[T]:
    made = []
    for number, part in enumerate(parts):
        try:
            made.append(make(part))
        except PrismError as error:
            raise error.about(name_of(parts, number)) from None
    return made


def name_of(parts: Sequence[Part], number: int) -> str:
    """How errors name a part: by its field, else by its place among several."""
    return parts[number].field or (f"parts[{number}]" if len(parts) > 1 else "")


def id_of(item: Item | PrismError) -> str:
    """How log lines name an item: ` 'b9f6...'` by the id that the caller gave it, or nothing."""
    return f" {shown(item.id)}" if isinstance(item, Item) and item.id else ""


def check_count(count: int, settings: Settings, unit: str = "items") -> None:
    """For doors too: before they make anything of a million empty strings.

    Raises:
        TooLarge
    """
    check_limit("a request", count, unit, settings.max_items, "max_items")


def check_instruction(instruction: str) -> None:
    """
    Raises:
        TooLarge
    """
    if len(instruction) > MAX_INSTRUCTION_CHARACTERS:
        raise TooLarge(f"instruction: {len(instruction)} characters are over {MAX_INSTRUCTION_CHARACTERS}")


def digest(part: Part) -> Digest:
    if isinstance(part, Text):
        return part.modality, hashlib.sha256(encoded(part.text)).hexdigest()
    assert not isinstance(part, Seen)  # it was found by its digest
    return part.modality, digest_of(part.data)


def has_media(parts: Iterable[Part]) -> bool:
    """Whether anything is to be decoded."""
    return any(isinstance(part, Image | Video) for part in parts)


def size_of(part: Part) -> int:
    """Bytes to be hashed, at least."""
    if isinstance(part, Text):
        return len(part.text)
    return 0 if isinstance(part, Seen) else len(part.data)


def encoded(text: str) -> bytes:
    # No door lets lone surrogates through, but this must not be what fails on one.
    return text.encode(errors="surrogatepass")
