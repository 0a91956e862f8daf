"""Clips: bytes to evenly spaced frames, by FFmpeg through torchcodec.

Frames and times come from the packets (torchcodec's exact mode), never from the header, which is wrong for
trimmed clips, variable frame rates and browser recordings; it costs some 5 ms more a minute of video.
torch is imported with the first clip, unless `import_torchcodec` was called before.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge, Unsupported, check_limit
from weaviate_prism.models.base import Clip, Pixels

log = logging.getLogger(__name__)

NO_CLIP = "not a clip in a known container (MP4, MOV, WebM, Matroska, AVI)"
# Brands of the MP4 family that are no clips: AVIF and HEIF, JPEG 2000 and XL, camera raw; songs and audio books.
PICTURE_BRANDS = frozenset(
    [*b"avif avis heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1".split(), b"jp2 ", b"jpx ", b"jxl ", b"crx "]
)
SOUND_BRANDS = frozenset((b"M4A ", b"M4B ", b"M4P "))

# Packets that a file may have for each frame that we allow: sound comes at some 50 a second and track.
PACKETS_PER_FRAME = 4
# Of CPU time. A clip with a single key frame is decoded whole, 10 minutes of 720p in 21 s, and queries wait behind it.
DECODE_SECONDS = 10.0
# A fragmented MP4 has two boxes per fragment, and at worst a fragment per frame.
MAX_BOXES = 100_000


def container(data: bytes) -> str | None:
    """What holds the clip, by the bytes it begins with: MP4 (or MOV), Matroska (or WebM), AVI; else None."""
    if data[:3] == b"\0\0\0" and data[4:8] == b"ftyp":
        return None if data[8:12] in PICTURE_BRANDS | SOUND_BRANDS else "MP4"
    if data[:4] == b"\x1a\x45\xdf\xa3" and any(kind in data[4:64] for kind in (b"webm", b"matroska")):
        return "Matroska"
    return "AVI" if data[:4] == b"RIFF" and data[8:12] == b"AVI " else None


@dataclass(frozen=True, slots=True)
class OpenedClip:
    """A clip within the limits, of which no frame is decoded yet."""

    pixels: int  # of all frames that will be decoded
    _kind: str
    _decoder: Any
    _fps: float
    _total: int
    _begin: float
    _seconds: float
    _indices: tuple[int, ...]

    def decode(self) -> Clip:
        """Frames spread evenly over the clip, uint8 [frames, 3, height, width], upright; an even number of them.

        Raises:
            InvalidInput: damaged.
            TooLarge: takes too long.
        """
        # By time, not by number: where the frame rate varies, frame i is not at i / fps, and models assume that it is.
        moments = [self._begin + (index + 0.5) / self._fps for index in self._indices]
        with _plain_errors(self._kind):
            return Clip(_frames(self._decoder, moments), self._fps, self._total, self._seconds, self._indices)


def open_clip(data: bytes, settings: Settings, frames: int) -> OpenedClip:
    """Reads the packets, and decodes none; so many frames are going to be.

    Raises:
        InvalidInput: not a clip, damaged, truncated, or of an unknown codec.
        TooLarge: over a limit.
        Unsupported: torchcodec or FFmpeg is missing.
    """
    check_limit("a clip", len(data), "bytes", settings.max_video_bytes, "max_video_bytes")
    kind = container(data)
    if kind is None:
        raise InvalidInput(NO_CLIP)
    torchcodec = import_torchcodec()
    with _plain_errors(kind):
        return _open(torchcodec, kind, data, settings, frames)


@contextlib.contextmanager
def _plain_errors(kind: str) -> Iterator[None]:
    try:
        yield
    except PrismError:
        raise
    except Exception as error:  # torchcodec: RuntimeError, ValueError, IndexError, with source paths in their texts
        log.debug("undecodable %s clip", kind, exc_info=error)
        raise InvalidInput(
            f"the {kind} clip cannot be decoded: damaged, truncated, without a video track, or of an unknown codec"
        ) from None


def _open(torchcodec: ModuleType, kind: str, data: bytes, settings: Settings, frames: int) -> OpenedClip:
    import torch

    copy = bytearray(data)  # torch warns of memory that it may not write to
    if kind == "MP4":
        _keep_video_tracks(copy, settings.max_video_frames)
    source = torch.frombuffer(copy, dtype=torch.uint8)
    if kind != "MP4":
        _check_packets(torchcodec, source, settings.max_video_frames)
    # One FFmpeg thread: clips are decoded side by side, which scales better than threads inside one clip.
    decoder = torchcodec.decoders.VideoDecoder(source, num_ffmpeg_threads=1, seek_mode="exact", device="cpu")
    total, about = len(decoder), decoder.metadata
    begin, seconds = about.begin_stream_seconds, about.end_stream_seconds - about.begin_stream_seconds
    _check(about.width, about.height, total, seconds, settings)
    # Edit lists explain missing frames, and a last frame that lasts explains missing time: never both.
    if total < (about.num_frames_from_header or 0) and seconds < 0.9 * (about.duration_seconds_from_header or 0.0):
        raise InvalidInput(f"the clip is truncated: {total} of {about.num_frames_from_header} frames are there")
    indices = tuple(spread(total, frames))
    pixels = len(indices) * about.width * about.height
    return OpenedClip(pixels, kind, decoder, total / seconds, total, begin, seconds, indices)


def _frames(decoder: Any, moments: Sequence[float]) -> Pixels:
    """The frames shown at these moments, one after another: between key frames, FFmpeg goes on where it is."""
    end = time.thread_time() + DECODE_SECONDS
    frames = []
    for moment in moments:
        if time.thread_time() > end:
            raise TooLarge(f"the clip takes more than {DECODE_SECONDS:g} s to decode: too few key frames for its size")
        frames.append(decoder.get_frames_played_at([moment]).data.numpy())
    return np.concatenate(frames)


def spread(total: int, wanted: int) -> list[int]:
    """At most `wanted` of `total` frames from the first to the last, evenly, and an even number: models pair them."""
    count = max(2, min(wanted, total) // 2 * 2)
    return [round(index * (total - 1) / (count - 1)) for index in range(count)]


def _check(width: int, height: int, total: int, seconds: float, settings: Settings) -> None:
    check_limit("a clip", width * height, f"pixels ({width}x{height})", settings.max_video_pixels, "max_video_pixels")
    check_limit("a clip", seconds, "seconds", settings.max_video_seconds, "max_video_seconds")
    check_limit("a clip", total, "frames", settings.max_video_frames, "max_video_frames")
    if not total or not seconds > 0:
        raise InvalidInput("the clip has no frames, or none with a time")


def _check_packets(torchcodec: ModuleType, source: object, max_frames: int) -> None:
    """Refuses a flood of tiny packets before torchcodec reads them all: 128 MiB hold minutes of work."""
    demuxer = torchcodec.decoders.Demuxer(source, streams="all")
    most = max_frames * PACKETS_PER_FRAME
    _check_samples(sum(1 for _ in itertools.islice(demuxer, most + 1)), max_frames)


def _check_samples(samples: int, max_frames: int) -> None:
    """Of all tracks together."""
    if samples > max_frames * PACKETS_PER_FRAME:
        raise TooLarge(f"a clip of {samples} or more packets has over {max_frames} frames (max_video_frames)")


def _keep_video_tracks(clip: bytearray, max_frames: int) -> None:
    """Hides all but the video tracks of an MP4 from FFmpeg, and refuses one that claims too many frames.

    FFmpeg believes an MP4's sample counts before it reads samples: a file of 1.7 kB that claimed a million
    kept it busy for minutes, one that claimed 80 million took 1.3 GB. Sound may have that many.
    """
    for track, start, end in _find(clip, 0, len(clip), b"moov", b"trak"):
        handlers = [bytes(clip[body + 8 : body + 12]) for _, body, _ in _find(clip, start, end, b"mdia", b"hdlr")]
        if handlers != [b"vide"]:
            clip[track + 4 : track + 8] = b"free"
            continue
        for table in (b"stsz", b"stz2"):
            found = _find(clip, start, end, b"mdia", b"minf", b"stbl", table)
            frames = sum(_number(clip, body + 8) for _, body, _ in found)
            check_limit("a clip", frames, "frames", max_frames, "max_video_frames")
    runs = _find(clip, 0, len(clip), b"moof", b"traf", b"trun")
    _check_samples(sum(_number(clip, body + 4) for _, body, _ in runs), max_frames)


def _find(data: bytearray, start: int, end: int, *path: bytes) -> Iterator[tuple[int, int, int]]:
    """(start, start of the body, end) of every MP4 box at a path of types."""
    for kind, box, body, stop in _boxes(data, start, end):
        if kind == path[0] and path[1:]:
            yield from _find(data, body, stop, *path[1:])
        elif kind == path[0]:
            yield box, body, stop


def _boxes(data: bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """(type, start, start of the body, end) of the boxes in a row; ends where one is damaged."""
    for _ in range(MAX_BOXES):
        if start + 16 > end:
            return
        size, kind, long_size = struct.unpack_from(">I4sQ", data, start)
        header = 16 if size == 1 else 8
        size = long_size if size == 1 else size or end - start
        if size < header:
            return
        yield kind, start, start + header, min(start + size, end)
        start += size
    raise InvalidInput(f"an MP4 clip of more than {MAX_BOXES} boxes in a row")


def _number(data: bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 4])


def import_torchcodec() -> ModuleType:
    """With the first call torch, too: seconds.

    Raises:
        Unsupported: torchcodec or FFmpeg is missing.
    """
    try:
        import torchcodec
        import torchcodec.decoders
    except ImportError:
        raise Unsupported("clips need torchcodec, which is not installed: pip install torchcodec") from None
    except (OSError, RuntimeError) as error:
        log.debug("torchcodec does not load", exc_info=error)
        raise Unsupported(
            "clips need FFmpeg's libraries and a torchcodec that fits torch: apt-get install ffmpeg, "
            "pip install torchcodec"
        ) from None
    if torchcodec.ffmpeg_major_version is None:
        raise Unsupported("clips need FFmpeg's libraries, which are not installed: apt-get install ffmpeg")
    return torchcodec  # type: ignore[no-any-return]
