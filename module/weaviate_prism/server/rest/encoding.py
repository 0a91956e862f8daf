"""Media inside JSON strings: base64 and data URIs to bytes, digests of stored media, and which strings are any of it.

A client's string is never opened as a file or fetched, whatever it looks like, and its MIME label is ignored.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Literal

import msgspec
import pybase64

from weaviate_prism import intake
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, check_limit
from weaviate_prism.media import recognise
from weaviate_prism.store import DIGEST
from weaviate_prism.values import Image, Item, Modality, Part, Stored, Text, Video, item_of

DATA_URI = re.compile(r"data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE | re.ASCII)
LONGEST_LABEL = 256

URL = re.compile(r"[a-z][a-z0-9+.-]+:/.*", re.IGNORECASE | re.DOTALL)
# Asked only of what is no media: a JPEG in base64 begins with a slash, too.
PATH = re.compile(r"(?:~?/|\.\.?/|\\\\|[a-z]:[\\/]).*|[^,;]*\.\w{2,5}", re.IGNORECASE)
LONGEST_NAME = 4096

TO_STANDARD = str.maketrans("-_", "+/", string.whitespace)
# A document's beginning that is looked at: 96 bytes of media, more than any signature needs.
PREFIX_CHARACTERS = 128
# The smallest pictures have one pixel and 35 bytes; shorter strings (`Qk0=`, `R0lGODlh`) are words.
SMALLEST_MEDIA_BYTES = 32
# A document of several parts. The beginning is looked at first: no other text costs more than that.
MESSAGE = re.compile(r'\s*\{\s*"(?:text|image|video|media)"\s*:')
MESSAGE_DECODER = msgspec.json.Decoder(dict[Literal["text", "image", "video", "media"], str])
LIMITS = {Modality.IMAGE: ("a picture", "max_image_bytes"), Modality.VIDEO: ("a clip", "max_video_bytes")}
STATED = {"image": Modality.IMAGE, "video": Modality.VIDEO}
# Programs write base64 in one piece or in lines: "/9j/ is how a JPEG begins" is a text.
NOT_IN_DOCUMENTS = " \t-_"


def media_bytes(text: str, modality: Modality, settings: Settings) -> bytes:
    """The bytes of base64 (either alphabet, padded or not, in lines or not) or of a data URI.

    Raises:
        InvalidInput: empty, a digest, a URL, a file name, or not base64.
        TooLarge: over the limit for what it is to be; seen before anything is decoded.
    """
    text = text.strip()
    uri = DATA_URI.match(text, 0, LONGEST_LABEL)
    payload = text[uri.end() :] if uri else text
    if not payload:
        raise InvalidInput("empty; it must be base64 or a data URI")
    _check_size(payload, modality, settings)
    if _digest(payload):
        raise InvalidInput("a SHA-256 digest, as read back from a blobHash property, not media: send the media again")
    data = _decode(payload)
    if not uri and not (data and recognise(data)):
        _refuse_names(text)
    if not data:
        raise InvalidInput("neither base64 nor a data URI with base64")
    return data


def media_part(kind: type[Image | Video], text: str, settings: Settings, field: str = "") -> Image | Video | Stored:
    """What is to be read as a picture or as a clip. A digest, which Weaviate sends as media once an object with a
    blobHash property is read and written back, stands for stored ones.

    Raises:
        InvalidInput, TooLarge: as `media_bytes` does.
    """
    modality = Modality.IMAGE if kind is Image else Modality.VIDEO
    if digest := _digest(text.strip()):
        return Stored(digest, field, modality)
    return kind(media_bytes(text, modality, settings), field)


def document_item(text: str, settings: Settings) -> Item | PrismError:
    """A rerank document or query, or why it cannot be read.

    A picture or clip in base64 or in a data URI, a digest of stored media, a JSON object of a text and media, such as
    `{"text": "a ship", "image": "iVBORw0K..."}`, or else the text itself.
    """
    if DIGEST.fullmatch(text):
        return item_of([Stored(text, or_text=True)])
    try:
        return item_of(_message(text, settings) or [_document_part(text, settings)])
    except PrismError as error:
        return error


def _message(text: str, settings: Settings) -> Sequence[Part | Stored]:
    """The parts of a JSON object, in its order; none where the text is no such object.

    Raises:
        InvalidInput: what is in base64 is no picture, or no clip, or not the one that its key says.
        TooLarge: media over their limit.
    """
    if not MESSAGE.match(text):
        return ()
    try:
        fields = MESSAGE_DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        return ()
    parts: list[Part | Stored] = []
    for key, value in fields.items():
        try:
            part = Text(value, key) if key == "text" else _message_media(key, value, settings)
        except PrismError as error:
            raise error.about(key) from None
        if part is None:
            return ()
        parts.append(part)
    return parts


def _message_media(key: str, text: str, settings: Settings) -> Image | Video | Stored | None:
    """None for what is meant as something else: a URL, a file name, a word."""
    stated = STATED.get(key)
    if digest := _digest(text):
        return Stored(digest, key, stated)
    is_uri = DATA_URI.match(text, 0, LONGEST_LABEL)
    try:
        data = media_bytes(text, stated or Modality.VIDEO, settings)
    except InvalidInput:
        if is_uri:
            raise
        return None
    return intake.media_part(data, stated, key) if is_uri or len(data) >= SMALLEST_MEDIA_BYTES else None


def _document_part(text: str, settings: Settings) -> Part:
    """Media if it is a picture or clip in base64 or in a data URI, else the text itself.

    Raises:
        InvalidInput: a data URI of something else.
        TooLarge: media over their limit.
    """
    uri = DATA_URI.match(text, 0, LONGEST_LABEL)
    kind = _kind(text, uri.end() if uri else 0)
    if uri and kind is None:
        raise InvalidInput("a data URI that holds neither a picture nor a clip of a known format")
    if kind is None or (not uri and any(mark in text for mark in NOT_IN_DOCUMENTS)):
        return Text(text)
    try:
        data = media_bytes(text, kind, settings)
    except InvalidInput:
        if uri:
            raise
        return Text(text)
    return Image(data) if kind is Modality.IMAGE else Video(data)


def _digest(text: str) -> str:
    """The text, in lower case, if it is a digest."""
    return text.lower() if len(text) == 64 and DIGEST.fullmatch(text.lower()) else ""


def _kind(text: str, start: int) -> Modality | None:
    """What the base64 from `start` on would be; decodes its beginning only."""
    prefix = "".join(text[start : start + PREFIX_CHARACTERS].split())
    data = _decode(prefix[: len(prefix) // 4 * 4])
    return recognise(data) if data and len(data) >= SMALLEST_MEDIA_BYTES else None


def _decode(payload: str) -> bytes | None:
    """None if it is not base64."""
    if not payload.isascii():  # translating 30 MB of other letters takes 3 s
        return None
    try:
        return pybase64.b64decode(payload, validate=True)
    except ValueError:
        bare = payload.translate(TO_STANDARD).rstrip("=")
    try:
        return pybase64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return None


def _check_size(payload: str, modality: Modality, settings: Settings) -> None:
    thing, setting = LIMITS[modality]
    limit: int = getattr(settings, setting)
    size = len(payload) * 3 // 4
    if size > limit:  # line ends and padding may be the reason
        size = (len(payload) - sum(map(payload.count, string.whitespace + "="))) * 3 // 4
    check_limit(thing, size, "bytes", limit, setting)


def _refuse_names(text: str) -> None:
    if len(text) > LONGEST_NAME:
        return
    if URL.fullmatch(text):
        raise InvalidInput("a URL, which is never fetched: send the media in base64")
    if PATH.fullmatch(text):
        raise InvalidInput("a file name, which is never opened: send the media in base64")
