"""Real media for tests: pictures of four corners and clips of a rising grey, in every format and shape that matters."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from PIL import Image

CORNERS = {"top left": (255, 0, 0), "top right": (0, 255, 0), "bottom left": (0, 0, 255), "bottom right": (20, 20, 20)}
LOSSLESS = ("PNG", "GIF", "WEBP", "BMP", "TIFF")
FORMATS = (*LOSSLESS, "JPEG", "AVIF")

Edit = Callable[[bytes, bytes], bytes]


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """A picture whose four quarters differ, so that every turn and mirroring shows."""
    picture = Image.new("RGB", (width, height))
    for index, colour in enumerate(CORNERS.values()):
        left, top = index % 2 * width // 2, index // 2 * height // 2
        picture.paste(colour, (left, top, left + width // 2, top + height // 2))
    return picture


def noise(width: int, height: int) -> Image.Image:
    """A picture that nothing can compress."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture in one of Pillow's formats; lossless where the format can."""
    defaults: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 95, "subsampling": 0} if picture.mode == "RGB" else {"quality": 95},
        "AVIF": {"quality": 95, "speed": 10},
    }
    buffer = io.BytesIO()
    picture.save(buffer, kind, **{**defaults.get(kind, {}), **options})
    return buffer.getvalue()


def oriented(picture: Image.Image, kind: str, orientation: int) -> bytes:
    """The picture as it lies, with an EXIF note of how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture, kind, exif=exif)


def corner_colours(picture: Image.Image) -> dict[str, tuple[int, int, int]]:
    """The colours in the middle of the four quarters."""
    pixels = np.asarray(picture)
    height, width = pixels.shape[:2]
    places = ((y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4))
    return {name: tuple(pixels[place].tolist()) for name, place in zip(CORNERS, places, strict=True)}


# -- PNG by hand, for what Pillow does not write -------------------------------------------------


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, colour: int, pixels: bytes, *before: bytes, after: bytes = b"") -> bytes:
    """A PNG of filtered rows (each begins with a filter byte), with chunks before and after its pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = b"".join((png_chunk(b"IHDR", header), *before, png_chunk(b"IDAT", zlib.compress(pixels, 9)), after))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND")


def tiff(tags: Iterable[tuple[int, int, int, int]], extra: bytes) -> bytes:
    """A 4x4 grey TIFF with more tags (id, type, count, value); `extra` begins at byte 24."""
    base = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries = sorted({tag[0]: tag for tag in (*base, (277, 3, 1, 1), (278, 3, 1, 4), (279, 4, 1, 16), *tags)}.values())
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 24 + len(extra)) + bytes(16) + extra + directory + bytes(4)


# -- clips ---------------------------------------------------------------------------------------


def clip(
    frames: int, kind: str = "mp4", *, fps: float = 10.0, size: tuple[int, int] = (64, 48), **options: Any
) -> bytes:
    """A clip that goes from black to white, one grey a frame; `kind` as FFmpeg names containers."""
    import torch
    from torchcodec.encoders import VideoEncoder

    width, height = size
    greys = torch.tensor([grey(index, frames) for index in range(frames)], dtype=torch.uint8)
    pixels = greys.view(-1, 1, 1, 1).repeat(1, 3, height, width)
    tensor = VideoEncoder(pixels, frame_rate=fps).to_tensor(kind, **options)
    return bytes(tensor.numpy())


def grey(index: int, frames: int) -> int:
    """The level of one frame of `clip`."""
    return round(255 * index / max(1, frames - 1))


def sound(kind: str = "mp4") -> bytes:
    """Half a second of silence."""
    import torch
    from torchcodec.encoders import AudioEncoder

    return bytes(AudioEncoder(torch.zeros(1, 8000), sample_rate=16000).to_tensor(kind).numpy())


# -- MP4 boxes -----------------------------------------------------------------------------------

BOXES_OF_BOXES = (b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def edited(mp4: bytes, edit: Edit) -> bytes:
    """An MP4 with `edit(type, body)` as the body of every box; samples come first, as FFmpeg writes them."""
    boxes, at = [], 0
    while at < len(mp4):
        size, kind = struct.unpack_from(">I4s", mp4, at)
        body = mp4[at + 8 : at + size]
        boxes.append(box(kind, edit(kind, edited(body, edit) if kind in BOXES_OF_BOXES else body)))
        at += size
    return b"".join(boxes)


def table(*rows: tuple[int, ...]) -> bytes:
    """The body of a box that lists rows of 32-bit numbers."""
    return struct.pack(">II", 0, len(rows)) + b"".join(struct.pack(f">{len(row)}I", *row) for row in rows)
