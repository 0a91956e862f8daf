"""Media as clients send them: recognised by their first bytes, checked against the limits, decoded.

Pictures are decoded here by Pillow, clips in `video.py`. Neither name, label nor MIME type counts, only bytes.
Everything may be called from several threads at once; nothing here knows of models or wires.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import AvifImagePlugin, Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from weaviate_prism import video
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, check_limit
from weaviate_prism.models.base import Clip, WantedSize
from weaviate_prism.room import LARGEST_AT_ONCE, PixelBudget
from weaviate_prism.values import Modality

log = logging.getLogger(__name__)

# Pillow's plugins that a client's bytes may reach; no other is ever tried (Ghostscript's runs a program).
PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "GIF": GifImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "AVIF": AvifImageFile,
}
# Why bytes that `recognise` does not know are neither.
NO_MEDIA = {Modality.IMAGE: f"not a picture in a known format ({', '.join(PLUGINS)})", Modality.VIDEO: video.NO_CLIP}
BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)

# Pillow walks chunks, segments and blocks in Python, and 30 MB of empty ones take it up to 70 s. Honest headers
# take milliseconds; the slowest honest pixels (16-bit interlaced PNG) 23 ns each.
HEADER_SECONDS = 0.5
SECONDS_PER_PIXEL = 50e-9
# So many reads of so few bytes, and what a plugin does with them, take less than a millisecond.
SHORT_READS, SHORT_READ_BYTES = 32, 1024
# A usual progressive JPEG has 10 scans. Each one, even of a few bytes, visits all pixels again: 1 ns each.
MAX_SCANS = 32
# Bytes of EXIF in a JPEG come in segments of up to 64 kB; Pillow reads them all into numbers at 4 µs each.
MAX_EXIF_SEGMENTS = 16
# Numbers in the directory of a TIFF (two per strip), which Pillow makes Python objects of.
MAX_TIFF_NUMBERS = 200_000

ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)


def recognise(data: bytes) -> Modality | None:
    """What the bytes are by how they begin, or None; a picture that moves (GIF, WebP) is a picture."""
    if _picture_format(data):
        return Modality.IMAGE
    return Modality.VIDEO if video.container(data) else None


class MediaDecoder:
    """Decodes pictures and clips within the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Pillow's own limit would warn below ours; ours is checked before there are pixels.
        Image.MAX_IMAGE_PIXELS = None
        self._budget = PixelBudget(LARGEST_AT_ONCE * settings.max_image_pixels)

    def picture(self, data: bytes, wanted: WantedSize | None = None) -> Image.Image:
        """The first frame as RGB: upright, transparency on white, 16 bits and floats scaled to 8 bits.

        Where it is enough to have the size that `wanted` makes of its own, upright, a JPEG may come out smaller.

        Raises:
            InvalidInput: not a picture, damaged or truncated.
            TooLarge: over a limit; seen before any pixel is decoded.
            Overloaded: too much is decoded already.
        """
        opened = self._open_picture(data)
        return self._budget.made(opened.pixels, functools.partial(opened.decode, wanted))

    def clip(self, data: bytes, frames: int = 0) -> Clip:
        """So many frames, 0 for as many as the setting says; see `video.open_clip` and `video.OpenedClip`.

        Raises:
            InvalidInput, TooLarge, Unsupported
            Overloaded: too much is decoded already.
        """
        opened = video.open_clip(data, self._settings, frames or self._settings.video_frames)
        return self._budget.made(opened.pixels, opened.decode)

    def picture_pixels(self, data: bytes) -> int:
        """How many `picture` would decode, by the header. Raises as it does, but never Overloaded."""
        return self._open_picture(data).pixels

    def clip_pixels(self, data: bytes, frames: int = 0) -> int:
        """How many `clip` would decode, by the packets. Raises as it does, but never Overloaded."""
        return video.open_clip(data, self._settings, frames or self._settings.video_frames).pixels

    def _open_picture(self, data: bytes) -> OpenedPicture:
        check_limit("a picture", len(data), "bytes", self._settings.max_image_bytes, "max_image_bytes")
        kind = _picture_format(data)
        if kind is None:
            raise InvalidInput(NO_MEDIA[Modality.IMAGE])
        with _plain_errors(kind):
            return _open(kind, data, self._settings.max_image_pixels)


@dataclass(frozen=True, slots=True)
class OpenedPicture:
    """A picture within the limits, of which nothing but the header is decoded yet."""

    pixels: int
    _kind: str
    _file: ImageFile.ImageFile
    _reader: _Reader

    def decode(self, wanted: WantedSize | None = None) -> Image.Image:
        """Only once; see `MediaDecoder.picture`."""
        with _plain_errors(self._kind), self._file as picture:
            self._reader.allow(HEADER_SECONDS + self.pixels * SECONDS_PER_PIXEL)
            if wanted and isinstance(picture, JpegImageFile):
                _reduce(picture, wanted)
            picture.load()
            turn = UPRIGHT.get(_orientation(picture.info.get("exif", b"")))
            upright = _rgb(picture) if turn is None else _rgb(picture).transpose(turn)
        upright.info = {}  # else whoever reads EXIF next would turn it again
        return upright


def _reduce(picture: JpegImageFile, wanted: WantedSize) -> None:
    """Has it decoded to a half, a quarter or an eighth of its size, the smallest that is no less than wanted."""
    width, height = picture.size
    if _orientation(picture.info.get("exif", b"")) in SIDEWAYS:
        height, width = wanted(height, width)
    else:
        width, height = wanted(width, height)
    picture.draft(None, (width, height))


@contextlib.contextmanager
def _plain_errors(kind: str) -> Iterator[None]:
    try:
        yield
    except (PrismError, MemoryError):
        raise
    except Exception as error:  # whatever a plugin stumbled over: a dozen types, some with reprs in their text
        log.debug("undecodable %s picture", kind, exc_info=error)
        reason = "truncated" if "truncated" in str(error) else "damaged, truncated or of an unknown kind"
        raise InvalidInput(f"the {kind} picture cannot be decoded: {reason}") from None


def _picture_format(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:15] == b"WEBPVP8":
        return "WebP"
    if data.startswith((b"II\x2a\0", b"MM\0\x2a")):
        return "TIFF"
    # Two letters are too few to go by; every BMP header has one of these sizes.
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in BMP_HEADER_SIZES:
        return "BMP"
    if data[:3] == b"\0\0\0" and data[4:8] == b"ftyp" and b"avi" in data[8:32]:
        return "AVIF" if data[8:12] in video.PICTURE_BRANDS and AvifImagePlugin.SUPPORTED else None
    return None


def _open(kind: str, data: bytes, max_pixels: int) -> OpenedPicture:
    _check_metadata(kind, data)
    if (
        kind == "WebP" and data[12:16] == b"VP8X"
    ):  # libwebp allocates an animation's canvas as soon as the file is opened
        _check_pixels(int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1, max_pixels)
    reader = _Reader(data)
    picture = PLUGINS[kind](reader)
    width, height = picture.size
    if isinstance(picture, TiffImageFile):  # a tile is decoded whole, and may be larger than the picture
        width, height = max(width, picture.tag_v2.get(322, 0)), max(height, picture.tag_v2.get(323, 0))
    _check_pixels(width, height, max_pixels)
    if kind == "JPEG":
        _check_scans(data, reader.tell())
        picture.decodermaxblock = len(data)  # in blocks of 64 kB, a marker that spans 30 MB is read 480 times
    return OpenedPicture(width * height, kind, picture, reader)


def _check_pixels(width: int, height: int, limit: int) -> None:
    check_limit("a picture", width * height, f"pixels ({width}x{height})", limit, "max_image_pixels")


class _Reader(io.BytesIO):
    """A file that ends a plugin's work when it takes too much CPU time of its thread.

    Asking the time takes 3 µs, a third of the time that a small picture takes: of short reads only some ask.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = 0
        self.allow(HEADER_SECONDS)

    def allow(self, seconds: float) -> None:
        self._end = time.thread_time() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        is_short = size is not None and 0 <= size <= SHORT_READ_BYTES
        if not (is_short and self._reads % SHORT_READS) and time.thread_time() > self._end:
            raise InvalidInput("the picture is built of too many pieces to be read in reasonable time")
        return super().read(size)


def _check_metadata(kind: str, data: bytes) -> None:
    """Refuses metadata that Pillow would read into Gigabytes of numbers before it knows the size."""
    exif = data.count(b"Exif\0\0") if kind == "JPEG" else 0
    numbers = sum(tag.count for tag in _tags(data) if not tag.is_bytes) if kind == "TIFF" else 0
    if exif > MAX_EXIF_SEGMENTS or numbers > MAX_TIFF_NUMBERS:
        raise InvalidInput(f"the {kind} picture has too much metadata")


def _check_scans(data: bytes, start: int) -> None:
    end = data.find(b"\xff\xd9", start)  # what follows the end marker (a preview, a clip) does not count
    scans = 1 + data.count(b"\xff\xda", start, end if end >= 0 else len(data))
    if scans > MAX_SCANS:
        raise InvalidInput(f"the JPEG picture has {scans} scans; at most {MAX_SCANS} are decoded")


@dataclass(frozen=True, slots=True)
class _Tag:
    """An entry of a TIFF directory."""

    id: int
    type: int
    count: int
    short: int  # the value, where it is one 16-bit number

    @property
    def is_bytes(self) -> bool:
        return self.type in (1, 2, 6, 7)  # BYTE, ASCII, SBYTE, UNDEFINED


def _tags(tiff: bytes) -> Iterator[_Tag]:
    """The first directory of a TIFF file or of EXIF; as far as the bytes go."""
    order = "<" if tiff.startswith(b"II") else ">"
    try:
        (offset,) = struct.unpack_from(f"{order}4xI", tiff)
        (count,) = struct.unpack_from(f"{order}H", tiff, offset)
        for at in range(offset + 2, offset + 2 + 12 * count, 12):
            yield _Tag(*struct.unpack_from(f"{order}HHIH", tiff, at))
    except struct.error:
        return


def _orientation(exif: bytes) -> int:
    return next((tag.short for tag in _tags(exif.removeprefix(b"Exif\0\0")) if tag.id == ORIENTATION), 1)


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _eight_bits(picture).convert("RGB")
    if picture.has_transparency_data:
        canvas = Image.new("RGB", picture.size, "white")
        layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        canvas.paste(layer, mask=layer)
        return canvas
    if picture.mode == "RGB":  # `convert` would copy: a third of all memory that a picture takes
        return picture._new(picture.im)
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A deep grey picture as 8 bits: 16 bits and floats from 0 to 1 by their scale, others from least to most."""
    grey = np.array(picture, dtype=np.float32)
    grey[~np.isfinite(grey)] = 0.0
    low, high = float(grey.min()), float(grey.max())
    if picture.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    elif low >= 0.0 and high <= 1.0:
        low, high = 0.0, 1.0
    scale = 255.0 / max(high - low, 1e-30) if high > low else 0.0
    grey *= scale  # in place: four bytes a pixel are enough
    grey -= low * scale
    return Image.fromarray(grey.round().astype(np.uint8))
