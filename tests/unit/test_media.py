"""Pictures as they come: every format and mode upright and in RGB, all else refused early and in plain words."""

from __future__ import annotations

import io
import random
import resource
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import media
from media import FORMATS, LOSSLESS, corner_colours, corners, encoded, png, png_chunk
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge
from weaviate_prism.media import MediaDecoder, recognise
from weaviate_prism.values import Modality

DECODER = MediaDecoder(Settings())
MEGABYTE = 1 << 20
WHITE = (255, 255, 255)


def colours(data: bytes) -> dict[str, tuple[int, int, int]]:
    picture = DECODER.picture(data)
    assert picture.mode == "RGB"
    return corner_colours(picture)


def assert_close(
    found: dict[str, tuple[int, int, int]], expected: dict[str, tuple[int, int, int]], most: int = 0
) -> None:
    difference = np.abs(np.array(list(found.values())) - np.array(list(expected.values()))).max()
    assert difference <= most, (found, expected)


def pixel(data: bytes) -> tuple[int, ...]:
    """The top left pixel."""
    found = np.asarray(DECODER.picture(data))[0, 0]
    return tuple(found.tolist())


# -- what it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_pictures_are_recognised(kind: str) -> None:
    assert recognise(encoded(corners(), kind)) is Modality.IMAGE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\x89PNG",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"BM is how a bitmap begins, and many a text",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.7\n",
        b"P6 1 1 255 abc",
        b"8BPS\0\1" + bytes(20),
        b"\0\0\1\0\1\0" + bytes(20),
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 ",
        b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n",
    ],
)
def test_other_bytes_are_not_and_no_plugin_sees_them(data: bytes) -> None:
    assert recognise(data) is None
    with pytest.raises(InvalidInput, match="not a picture in a known format"):
        DECODER.picture(data)
    with pytest.raises(InvalidInput, match="not a clip in a known container"):
        DECODER.clip(data)


def test_importing_does_not_load_torch() -> None:
    code = "import sys, weaviate_prism.media; sys.exit('torch' in sys.modules or 'torchcodec' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- formats, turns and frames -------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_shows_what_was_drawn(kind: str) -> None:
    assert_close(colours(encoded(corners(), kind)), media.CORNERS, most=0 if kind in LOSSLESS else 6)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_asks(kind: str, orientation: int) -> None:
    data = media.oriented(corners(), kind, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = corners()
    lying.info["exif"] = exif.tobytes()
    expected = ImageOps.exif_transpose(lying)
    picture = DECODER.picture(data)
    assert picture.size == expected.size
    assert_close(corner_colours(picture), corner_colours(expected), most=0 if kind in LOSSLESS else 6)
    assert ImageOps.exif_transpose(picture).tobytes() == picture.tobytes(), "whoever reads EXIF next turns it again"


@pytest.mark.parametrize(
    "exif", [b"", b"MM", b"II\x2a\0\xff\xff\xff\xff", b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff", bytes(99)]
)
def test_damaged_exif_turns_nothing(exif: bytes) -> None:
    assert_close(colours(encoded(corners(), "PNG", exif=exif)), media.CORNERS)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    data = encoded(corners(), kind, save_all=True, append_images=[Image.new("RGB", (48, 32), "white")] * 3)
    assert recognise(data) is Modality.IMAGE
    assert_close(colours(data), media.CORNERS, most=0 if kind in LOSSLESS else 6)


def test_of_a_jpeg_with_more_pictures_behind_it_the_first_is_taken() -> None:
    buffer = io.BytesIO()
    corners().save(buffer, "MPO", quality=95, subsampling=0, save_all=True, append_images=[Image.new("RGB", (48, 32))])
    assert_close(colours(buffer.getvalue()), media.CORNERS, most=6)
    phone = encoded(corners(), "JPEG") + random.Random(0).randbytes(MEGABYTE)  # a clip behind the picture
    assert_close(colours(phone), media.CORNERS, most=6)


# -- decoded smaller -----------------------------------------------------------------------------


def half(width: int, height: int) -> tuple[int, int]:
    """What a model may want."""
    return width // 2, height // 2


def wide(width: int, height: int) -> tuple[int, int]:
    return 100, 30


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_decoded_to_no_less_than_is_wanted_of_it_upright(orientation: int) -> None:
    lying = corners(400, 240)
    data = media.oriented(lying, "JPEG", orientation)
    exact, reduced = DECODER.picture(data), DECODER.picture(data, half)
    assert reduced.size == (exact.width // 2, exact.height // 2)
    assert_close(corner_colours(reduced), corner_colours(exact), most=6)
    # a side that needs less does not make the other too small, whichever way they are turned
    assert DECODER.picture(data, wide).size == ((100, 60) if orientation < 5 else (120, 200))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_kind_of_jpeg_is_decoded_smaller(mode: str, progressive: bool) -> None:
    data = encoded(corners(403, 243).convert(mode), "JPEG", progressive=progressive)
    exact, reduced = DECODER.picture(data), DECODER.picture(data, lambda width, height: (50, 30))
    assert (reduced.mode, reduced.size) == ("RGB", (51, 31))  # an eighth, rounded up
    assert_close(corner_colours(reduced), corner_colours(exact), most=8)


@pytest.mark.parametrize("size", [(64, 48), (33, 25), (64, 24), (640, 480)])
def test_a_jpeg_that_has_no_more_than_is_wanted_is_decoded_as_ever(size: tuple[int, int]) -> None:
    data = encoded(corners(64, 48), "JPEG")
    assert DECODER.picture(data, lambda width, height: size).tobytes() == DECODER.picture(data).tobytes()


@pytest.mark.parametrize("kind", LOSSLESS)
def test_other_pictures_are_decoded_as_ever(kind: str) -> None:
    data = encoded(corners(400, 240), kind)
    assert DECODER.picture(data, half).tobytes() == DECODER.picture(data).tobytes()


def test_limits_are_on_what_was_sent_however_small_it_is_decoded() -> None:
    data = encoded(corners(400, 240), "JPEG")
    with pytest.raises(TooLarge, match="96000 pixels"):
        MediaDecoder(Settings(max_image_pixels=95_999)).picture(data, half)
    with pytest.raises(InvalidInput, match="truncated"):
        DECODER.picture(data[: len(data) // 2], half)


# -- modes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kind"), [("1", "PNG"), ("1", "TIFF"), ("L", "PNG"), ("L", "JPEG"), ("L", "BMP")])
def test_grey_and_black_and_white_are_read(mode: str, kind: str) -> None:
    picture = Image.new("L", (16, 16), 255)
    picture.paste(0, (0, 0, 16, 8))
    found = colours(encoded(picture.convert(mode), kind))
    assert_close(found, dict(zip(media.CORNERS, [(0, 0, 0)] * 2 + [WHITE] * 2, strict=True)), most=2)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_palettes_are_read(kind: str) -> None:
    assert_close(colours(encoded(corners().quantize(8), kind)), media.CORNERS)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_read(kind: str) -> None:
    assert_close(colours(encoded(corners().convert("CMYK"), kind)), media.CORNERS, most=0 if kind in LOSSLESS else 8)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_transparency_becomes_white(kind: str) -> None:
    picture = corners().convert("RGBA")
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, 24, 16))
    alpha.paste(128, (24, 0, 48, 16))
    picture.putalpha(alpha)
    expected = media.CORNERS | {"top left": WHITE, "top right": (127, 255, 127)}
    assert_close(colours(encoded(picture, kind)), expected, most=1 if kind in LOSSLESS else 6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_transparent_grey_becomes_white(kind: str) -> None:
    assert pixel(encoded(Image.new("LA", (4, 4), (0, 0)), kind)) == WHITE
    assert pixel(encoded(Image.new("LA", (4, 4), (99, 255)), kind)) == (99, 99, 99)


@pytest.mark.parametrize("transparency", [0, bytes([0, 255]), bytes([0])])
def test_transparent_entries_of_a_palette_become_white(transparency: int | bytes) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.paste(1, (1, 1, 4, 4))
    found = np.asarray(DECODER.picture(encoded(picture, "PNG", transparency=transparency)))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[3, 3].tolist() == [0, 0, 255]


def test_transparent_colours_of_gifs_and_plain_pngs_become_white() -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert pixel(encoded(palette, "GIF", transparency=0)) == WHITE
    assert pixel(encoded(Image.new("RGB", (4, 4), "red"), "PNG", transparency=(255, 0, 0))) == WHITE
    assert pixel(encoded(Image.new("L", (4, 4), 7), "PNG", transparency=7)) == WHITE
    assert pixel(encoded(Image.new("1", (4, 4), 0), "PNG", transparency=0)) == WHITE


def test_sixteen_bits_are_scaled() -> None:
    levels = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        found = np.asarray(DECODER.picture(encoded(Image.fromarray(levels), kind)))
        assert found[0, :, 0].tolist() == [0, 1, 128, 255]
    big_endian = b"MM" + encoded(Image.frombytes("I;16B", (4, 1), levels.astype(">u2").tobytes()), "TIFF")[2:]
    assert big_endian[2:4] == b"\0\x2a"
    assert np.asarray(DECODER.picture(big_endian))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_sixteen_bits_of_colour_are_scaled() -> None:
    row = b"\0" + struct.pack(">6H", 0, 32896, 65535, 65535, 0, 257)
    found = np.asarray(DECODER.picture(png(2, 1, 16, 2, row)))
    assert found[0].tolist() == [[0, 128, 255], [255, 0, 1]]
    keyed = png(2, 1, 16, 2, row, png_chunk(b"tRNS", struct.pack(">3H", 65535, 0, 257)))
    assert np.asarray(DECODER.picture(keyed))[0, 0].tolist() == [0, 128, 255]
    with_alpha = png(1, 1, 16, 6, b"\0" + struct.pack(">4H", 0, 0, 0, 0))
    assert pixel(with_alpha) == WHITE


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([0.0, 0.5, 1.0, 0.25], [0, 128, 255, 64]),
        ([-100.0, 0.0, 100.0, 0.0], [0, 128, 255, 128]),
        ([0.0, float("nan"), float("inf"), 1.0], [0, 0, 0, 255]),
        ([3e38, -3e38, 0.0, 0.0], [255, 0, 128, 128]),
        ([7.0, 7.0, 7.0, 7.0], [0, 0, 0, 0]),
        ([0.0, 1e-45, 0.0, 0.0], [0, 0, 0, 0]),
    ],
)
def test_floats_are_scaled(levels: list[float], expected: list[int]) -> None:
    found = np.asarray(DECODER.picture(encoded(Image.fromarray(np.array([levels], dtype=np.float32)), "TIFF")))
    assert np.abs(found[0, :, 0].astype(int) - expected).max() <= 1


def test_thirty_two_bits_are_stretched() -> None:
    levels = Image.fromarray(np.array([[-1000, 0, 1000, 500]], dtype=np.int32))
    assert np.asarray(DECODER.picture(encoded(levels, "TIFF")))[0, :, 0].tolist() == [0, 128, 255, 191]


@contextmanager
def within(*, seconds: float, megabytes: int) -> Iterator[None]:
    """Asserts what a block costs at most: CPU time of its thread, and resident memory at its peak."""
    forget = Path("/proc/self/clear_refs")
    if forget.exists():  # without it (gVisor), earlier peaks hide lower ones
        forget.write_text("5")
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    yield
    assert time.thread_time() - started < seconds
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < megabytes


# -- limits --------------------------------------------------------------------------------------


def test_bytes_over_the_limit_are_refused() -> None:
    data = encoded(corners())
    with pytest.raises(TooLarge, match=rf"{len(data)} bytes .* limit of 99 \(max_image_bytes\)"):
        MediaDecoder(Settings(max_image_bytes=99)).picture(data)


@pytest.mark.parametrize("kind", FORMATS)
def test_pixels_over_the_limit_are_refused(kind: str) -> None:
    tight = MediaDecoder(Settings(max_image_pixels=48 * 32 - 1))
    with pytest.raises(TooLarge, match=r"1536 pixels \(48x32\) .* limit of 1535 \(max_image_pixels\)"):
        tight.picture(encoded(corners(), kind))
    MediaDecoder(Settings(max_image_pixels=48 * 32)).picture(encoded(corners(), kind))


def test_pillow_has_no_limit_of_its_own() -> None:
    """It would warn from 89 million pixels on."""
    large = encoded(Image.new("1", (9500, 9500)))
    assert MediaDecoder(Settings(max_image_pixels=100_000_000)).picture(large).size == (9500, 9500)


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG that claims another size than it has."""
    data = bytearray(encoded(corners(), "JPEG"))
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, height, width)
    return bytes(data)


def webp_of(width: int, height: int) -> bytes:
    """A WebP whose canvas is another than its picture."""
    data = bytearray(encoded(corners(), "WEBP", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\0\0\0\0\0\0"))
    assert data[12:16] == b"VP8X"
    data[24:30] = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return bytes(data)


def tiled_tiff(side: int) -> bytes:
    """A small picture in one large tile: 1000 times larger when inflated."""
    tile = zlib.compress(bytes(side * side // 8), 9)
    return media.tiff(
        [(259, 3, 1, 8), (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 24), (325, 4, 1, len(tile))], tile
    )


@pytest.mark.parametrize(
    "data",
    [
        jpeg_of(65500, 65500),
        webp_of(65535, 65535),
        png(2**31 - 1, 2**31 - 1, 8, 6, b""),
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + bytes(6) + b"," + bytes(9) + b"\2\2\x44\1\0;",
        b"BM" + struct.pack("<IIIIiiHH", 99, 0, 54, 40, 100_000, 100_000, 1, 24) + bytes(100),
        media.tiff([(256, 4, 1, 2**31), (257, 4, 1, 2**31)], b""),
        tiled_tiff(30_000),
    ],
    ids=["JPEG", "WebP", "PNG", "GIF", "BMP", "TIFF", "TIFF tile"],
)
def test_absurd_sizes_are_refused_before_decoding(data: bytes) -> None:
    with pytest.raises(TooLarge, match="max_image_pixels"):
        DECODER.picture(data)


def behind(data: bytes, at: int, piece: bytes) -> bytes:
    """30 MB of a piece inside a picture."""
    return data[:at] + piece * (30 * MEGABYTE // len(piece)) + data[at:]


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def gif_with(piece: bytes) -> bytes:
    data = encoded(Image.new("P", (4, 4)), "GIF")
    return behind(data, data.index(b","), piece)


def scans(count: int) -> bytes:
    """A progressive JPEG of 24 million pixels whose last scan is repeated."""
    data = encoded(Image.new("RGB", (6000, 4000)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


JPEG = encoded(corners(), "JPEG", quality=90)
ZEROS = zlib.compress(bytes(MEGABYTE - 1), 9)
NUMBERS = bytes(30 * MEGABYTE)
IN_IDAT = png(1, 1, 8, 0, b"\0\0").index(b"IDAT") - 4

BOMBS: dict[str, Callable[[], bytes]] = {
    "JPEG of empty comments": lambda: behind(JPEG, 2, segment(0xFE, b"")),
    "JPEG of fill bytes": lambda: behind(JPEG, 2, b"\xff"),
    "JPEG of fill bytes in its scan": lambda: behind(JPEG, len(JPEG) - 20, b"\xff"),
    "JPEG of EXIF": lambda: behind(JPEG, 2, segment(0xE1, b"Exif\0\0MM")),
    "JPEG of Photoshop blocks": lambda: behind(JPEG, 2, segment(0xED, b"Photoshop 3.0\0" + b"8BIM" + bytes(8)) * 99),
    "JPEG of scans": lambda: scans(1000),
    "PNG of empty chunks": lambda: png(1, 1, 8, 0, b"\0\0", png_chunk(b"prVt") * (30 * MEGABYTE // 12)),
    "PNG of empty pixel chunks": lambda: behind(png(1, 1, 8, 0, b"\0\0"), IN_IDAT, png_chunk(b"IDAT")),
    "PNG of inflated texts": lambda: png(1, 1, 8, 0, b"\0\0", png_chunk(b"zTXt", b"a\0\0" + ZEROS) * 20_000),
    "PNG of an inflated text": lambda: png(
        1, 1, 8, 0, b"\0\0", png_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(NUMBERS))
    ),
    "PNG of inflated profiles": lambda: png(1, 1, 8, 0, b"\0\0", png_chunk(b"iCCP", b"a\0\0" + ZEROS) * 20_000),
    "GIF of comments": lambda: gif_with(b"\x21\xfe\1a\0"),
    "TIFF of fractions": lambda: media.tiff([(282, 5, len(NUMBERS) // 8, 24)], NUMBERS),
    "TIFF of strips": lambda: media.tiff([(273, 4, len(NUMBERS) // 4, 24), (278, 3, 1, 1)], NUMBERS),
    "TIFF of one value many times": lambda: media.tiff(
        [(40_000 + i, 7, len(NUMBERS), 24) for i in range(999)], NUMBERS
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_read_or_refused_within_two_seconds_and_200_megabytes(name: str) -> None:
    data = BOMBS[name]()
    roomy = MediaDecoder(Settings(max_image_bytes=100 * MEGABYTE))
    with within(seconds=2, megabytes=200):
        try:
            roomy.picture(data)
        except InvalidInput as error:
            assert_fit_for_clients(error)


@pytest.mark.parametrize(
    ("kind", "side", "options"),
    [
        ("PNG", 3200, {"compress_level": 1}),
        ("JPEG", 4500, {}),
        ("WEBP", 3200, {"method": 0, "quality": 0}),
        ("BMP", 3200, {}),
        ("TIFF", 3200, {"compression": "tiff_lzw"}),
    ],
)
def test_thirty_megabytes_of_picture_are_read_within_two_seconds(kind: str, side: int, options: dict[str, int]) -> None:
    data = encoded(media.noise(side, side), kind, **options)
    assert len(data) > 20 * MEGABYTE
    with within(seconds=2, megabytes=300):
        MediaDecoder(Settings(max_image_bytes=100 * MEGABYTE)).picture(data)


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGB", "PNG", {"compress_level": 1}),
        ("RGBA", "PNG", {"compress_level": 1}),
        ("1", "PNG", {}),
        ("I;16", "PNG", {"compress_level": 1}),
        ("RGB", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True}),
        ("CMYK", "JPEG", {}),
        ("L", "GIF", {}),
        ("RGB", "WEBP", {"lossless": False, "quality": 50, "method": 0}),
    ],
)
def test_the_largest_picture_is_read_within_two_seconds_and_17_bytes_a_pixel(
    mode: str, kind: str, options: dict[str, int]
) -> None:
    data = encoded(Image.new(mode, (7680, 4320)), kind, **options)
    with within(seconds=2, megabytes=17 * 7680 * 4320 // MEGABYTE):
        assert DECODER.picture(data).size == (7680, 4320)


def test_a_plain_picture_is_decoded_into_four_bytes_a_pixel() -> None:
    """A copy on the way would make it eight."""
    data = encoded(Image.new("RGB", (7680, 4320)), "PNG")
    with within(seconds=2, megabytes=6 * 7680 * 4320 // MEGABYTE):
        DECODER.picture(data)


def test_many_threads_together_keep_within_the_room_of_eight_largest_pictures() -> None:
    """48 threads that decode and then shrink 4 megapixels, as models' processors do: 770 MB if all did so at once."""
    data = encoded(Image.new("RGB", (2000, 2000)), "PNG")
    roomy, together = MediaDecoder(Settings(max_image_pixels=2000 * 2000)), threading.Barrier(48)

    def shrink(_: int) -> tuple[int, int]:
        together.wait()
        picture = roomy.picture(data)
        return picture.resize((8, 8)).size

    with within(seconds=2, megabytes=500), ThreadPoolExecutor(48) as threads:
        assert list(threads.map(shrink, range(48))) == [(8, 8)] * 48


@pytest.mark.parametrize("kind", sorted({*FORMATS} - {"BMP"}))  # whose pixels any bytes may be
def test_thirty_megabytes_of_garbage_are_refused_at_once(kind: str) -> None:
    garbage = encoded(corners(), kind)[:40] + random.Random(0).randbytes(30 * MEGABYTE)
    with within(seconds=1, megabytes=100), pytest.raises((InvalidInput, TooLarge)):
        DECODER.picture(garbage)


# -- damage --------------------------------------------------------------------------------------


def assert_fit_for_clients(error: PrismError) -> None:
    """No representation, path or traceback of ours."""
    assert len(error.message) < 300
    assert not [mark for mark in ("<", ">", "/", "\\", "_io", " at 0x", "\n") if mark in error.message]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_picture_is_an_error_and_never_half_grey(kind: str) -> None:
    data = encoded(media.noise(60, 60), kind)
    whole = DECODER.picture(data).tobytes()
    refused = 0
    for length in {*range(20, len(data), max(1, len(data) // 150)), *range(len(data) - 20, len(data))}:
        try:
            picture = DECODER.picture(data[:length])
        except InvalidInput as error:
            assert_fit_for_clients(error)
            refused += 1
        else:  # an end marker may be missing, pixels may not
            assert picture.tobytes() == whole
    assert refused > 100


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_pictures_are_read_or_refused(kind: str) -> None:
    rng = random.Random(kind)
    data = encoded(corners(), kind, **({"exif": bytes(20)} if kind in ("JPEG", "PNG", "WEBP") else {}))
    small = MediaDecoder(Settings(max_image_pixels=100_000))
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            assert small.picture(bytes(damaged)).mode == "RGB"
        except (InvalidInput, TooLarge) as error:
            assert_fit_for_clients(error)


def test_random_bytes_are_refused() -> None:
    rng = random.Random(1)
    starts = [b"", *(encoded(corners(), kind)[:24] for kind in FORMATS)]
    for _ in range(500):
        data = rng.choice(starts)[: rng.randint(0, 24)] + rng.randbytes(rng.randint(0, 300))
        with pytest.raises((InvalidInput, TooLarge)):
            DECODER.picture(data)


def test_many_threads_see_the_same() -> None:
    samples = [encoded(corners(), kind) for kind in FORMATS] + [media.oriented(corners(), "JPEG", 6), b"garbage"] * 2

    def read(data: bytes) -> bytes:
        try:
            return DECODER.picture(data).tobytes()
        except InvalidInput as error:
            return error.message.encode()

    alone = [read(data) for data in samples]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, samples * 20)) == alone * 20
