"""Clips: which frames are taken and when they were shown, and what is refused before a frame is decoded."""

from __future__ import annotations

import random
import socket
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import media
from media import box, clip, edited, grey, table
from weaviate_prism import video
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge, Unsupported
from weaviate_prism.media import MediaDecoder, recognise
from weaviate_prism.models.base import Clip
from weaviate_prism.values import Modality

torchcodec = pytest.importorskip("torchcodec", reason="torchcodec is not installed")
if torchcodec.ffmpeg_major_version is None:
    pytest.skip("FFmpeg's libraries are not installed", allow_module_level=True)

DECODER = MediaDecoder(Settings())
CONTAINERS = ("mp4", "mov", "webm", "mkv", "avi")
MEGABYTE = 1 << 20


def greys(decoded: Clip) -> list[int]:
    """The level of each frame."""
    return [round(level) for level in decoded.frames.mean(axis=(1, 2, 3))]


def assert_shows(decoded: Clip, levels: list[int]) -> None:
    assert np.abs(np.array(greys(decoded)) - levels).max() <= 6, greys(decoded)


def seconds(decoded: Clip) -> list[float]:
    """When models will believe that each frame was shown."""
    return [round(index / decoded.fps, 3) for index in decoded.indices]


def native_threads() -> set[str]:
    return {each.name for each in Path("/proc/self/task").iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads that FFmpeg started by Linux's list")
def test_a_clip_has_no_threads_of_its_own() -> None:
    DECODER.clip(clip(29, "mp4"))  # whatever is started once
    before = native_threads()
    opened = video.open_clip(clip(29, "mp4"), Settings(), 8)
    opened.decode()
    assert native_threads() == before


# -- which frames --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONTAINERS)
def test_frames_are_spread_from_the_first_to_the_last(kind: str) -> None:
    data = clip(29, kind)
    assert recognise(data) is Modality.VIDEO
    decoded = DECODER.clip(data)
    assert decoded.frames.shape == (8, 3, 48, 64)
    assert decoded.frames.dtype == np.uint8
    assert decoded.indices == (0, 4, 8, 12, 16, 20, 24, 28)
    assert decoded.total_frames == 29
    assert decoded.fps == pytest.approx(10)
    assert decoded.seconds == pytest.approx(2.9)
    assert_shows(decoded, [grey(index, 29) for index in decoded.indices])


@pytest.mark.parametrize(
    ("frames", "taken"),
    [
        (1, (0, 0)),
        (2, (0, 1)),
        (3, (0, 2)),
        (4, (0, 1, 2, 3)),
        (5, (0, 1, 3, 4)),
        (7, (0, 1, 2, 4, 5, 6)),
        (8, (0, 1, 2, 3, 4, 5, 6, 7)),
        (9, (0, 1, 2, 3, 5, 6, 7, 8)),
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_short_clips_give_fewer_frames_but_an_even_number(kind: str, frames: int, taken: tuple[int, ...]) -> None:
    decoded = DECODER.clip(clip(frames, kind))
    assert decoded.indices == taken
    assert decoded.total_frames == frames
    assert_shows(decoded, [grey(index, frames) for index in taken])


@pytest.mark.parametrize("wanted", [2, 4, 6, 32])
def test_frames_are_evenly_spread_in_even_numbers(wanted: int) -> None:
    for total in range(1, 200):
        indices = video.spread(total, wanted)
        assert len(indices) % 2 == 0
        assert 2 <= len(indices) <= max(2, min(wanted, total))
        assert indices[0] == 0
        assert indices[-1] == total - 1
        steps = np.diff(indices)
        assert max(steps) - min(steps) <= 1


def test_the_setting_says_how_many() -> None:
    assert len(MediaDecoder(Settings(video_frames=4)).clip(clip(29)).indices) == 4


def test_odd_sizes_are_read() -> None:
    assert DECODER.clip(clip(4, "avi", size=(35, 21), codec="mjpeg")).frames.shape == (4, 3, 21, 35)


# -- times ---------------------------------------------------------------------------------------


def variable_rate(mp4: bytes, *delays: int) -> bytes:
    """The clip with each frame shown for so many times the usual."""

    def edit(kind: bytes, body: bytes) -> bytes:
        if kind == b"stts":
            usual = struct.unpack_from(">I", body, 12)[0]
            return table(*((1, usual * delay) for delay in delays))
        return body

    return edited(mp4, edit).replace(b"edts", b"free")  # FFmpeg's edit list ends with the usual length


def test_where_the_frame_rate_varies_frames_are_what_was_shown_at_their_times() -> None:
    """Four frames of 1 s, then four of 0.1 s."""
    decoded = DECODER.clip(variable_rate(clip(8, preset="ultrafast"), 10, 10, 10, 10, 1, 1, 1, 1))
    assert decoded.seconds == pytest.approx(4.4)
    assert decoded.fps == pytest.approx(8 / 4.4)
    assert seconds(decoded) == [0, 0.55, 1.1, 1.65, 2.2, 2.75, 3.3, 3.85]
    assert_shows(decoded, [grey(index, 8) for index in (0, 0, 1, 1, 2, 3, 3, 5)])


def test_a_trimmed_clip_shows_only_what_is_left() -> None:
    """Phones trim by a note (edit list) to start later; the header still counts all frames."""

    def edit(kind: bytes, body: bytes) -> bytes:
        if kind == b"elst":
            return table((600, 4 * 1024, 0x10000))  # 0.6 s from the fifth frame on, in FFmpeg's units
        return body

    decoded = DECODER.clip(edited(clip(10, preset="ultrafast"), edit))
    assert decoded.total_frames == 6
    assert decoded.seconds == pytest.approx(0.6)
    assert seconds(decoded)[0] == 0
    assert_shows(decoded, [grey(index, 10) for index in range(4, 10)])


def test_a_recording_without_a_duration_is_read() -> None:
    """Browsers write WebM without one."""
    data = clip(12, "webm")
    assert b"\x44\x89\x88" in data
    without = data.replace(b"\x44\x89\x88", b"\xec\x89\0")  # the duration becomes padding
    assert DECODER.clip(without).seconds == pytest.approx(1.2)


def test_a_clip_is_turned_as_its_header_asks() -> None:
    def edit(kind: bytes, body: bytes) -> bytes:
        quarter = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
        return body[:40] + quarter + body[76:] if kind == b"tkhd" else body

    assert DECODER.clip(clip(4)).frames.shape == (4, 3, 48, 64)
    assert DECODER.clip(edited(clip(4), edit)).frames.shape == (4, 3, 64, 48)


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(max_video_bytes=999), r"bytes is over the limit of 999 \(max_video_bytes\)"),
        (Settings(max_video_pixels=3071), r"3072 pixels \(64x48\) is over the limit of 3071 \(max_video_pixels\)"),
        (Settings(max_video_seconds=1), r"2 seconds is over the limit of 1 \(max_video_seconds\)"),
        (Settings(max_video_frames=19), r"20 frames is over the limit of 19 \(max_video_frames\)"),
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_over_a_limit_is_refused_by_value_limit_and_setting(kind: str, settings: Settings, message: str) -> None:
    with pytest.raises(TooLarge, match=message):
        MediaDecoder(settings).clip(clip(20, kind))


def test_at_the_limits_is_read() -> None:
    data = clip(20)
    exact = Settings(
        max_video_bytes=len(data), max_video_pixels=64 * 48, max_video_seconds=2, max_video_frames=20, video_frames=2
    )
    assert MediaDecoder(exact).clip(data).total_frames == 20


def claiming(samples: int) -> bytes:
    """An MP4 of 2 kB that claims to have so many frames of a byte each."""
    bodies = {
        b"stsz": struct.pack(">III", 0, 1, samples),
        b"stsc": table((1, samples, 1)),
        b"stts": table((samples, 1)),
    }
    return edited(clip(5), bodies.get)


def fragments_claiming(samples: int) -> bytes:
    data = clip(5, extra_options={"movflags": "frag_keyframe+empty_moov"})
    at = data.index(b"trun") + 8
    return data[:at] + struct.pack(">I", samples) + data[at + 4 :]


def lasting(delay: int) -> bytes:
    return variable_rate(clip(4, preset="ultrafast"), 1, delay, 1, 1)


def flood_of_blocks() -> bytes:
    """A Matroska file of 30 MB of one-byte frames, 256 in a block."""
    start = clip(5, "mkv")
    at = start.index(b"\x1f\x43\xb6\x75")  # the first cluster
    head = bytearray(start[:at])
    segment = head.index(b"\x18\x53\x80\x67")
    head[segment + 4 : segment + 12] = b"\x01" + b"\xff" * 7  # of unknown length
    block = b"\xa3" + struct.pack(">I", 0x10000000 + 261) + b"\x81\0\0\x04\xff" + b"\xaa" * 256
    blocks = b"\xe7\x81\0" + block * (30 * MEGABYTE // len(block))
    return bytes(head) + b"\x1f\x43\xb6\x75" + struct.pack(">I", 0x10000000 + len(blocks)) + blocks


def flood_of_boxes() -> bytes:
    data = clip(5)
    return data[:32] + box(b"free", b"") * (30 * MEGABYTE // 8) + data[32:]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: claiming(1_000_000), "1000000 frames .*max_video_frames"),
        (lambda: claiming(2**32 - 1), "4294967295 frames .*max_video_frames"),
        (lambda: fragments_claiming(100_000_000), "max_video_frames"),
        (lambda: lasting(7000), "max_video_seconds"),
        (flood_of_blocks, "max_video_frames"),
        (flood_of_boxes, "boxes"),
        (lambda: clip(2, "avi", size=(8192, 8192), codec="mjpeg"), "67108864 pixels"),
    ],
)
def test_absurd_clips_are_refused_quickly(make: Callable[[], bytes], message: str) -> None:
    data = make()
    started = time.thread_time()
    with pytest.raises((TooLarge, InvalidInput), match=message):
        DECODER.clip(data)
    assert time.thread_time() - started < 3


# -- damage and attacks --------------------------------------------------------------------------


def assert_fit_for_clients(error: PrismError) -> None:
    """No path, traceback or source of FFmpeg's or torchcodec's."""
    assert len(error.message) < 300
    assert not [mark for mark in ("<", "/", "torchcodec", ".cpp", "\n") if mark in error.message]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_damaged_clips_are_read_or_refused(kind: str) -> None:
    data, rng = clip(6, kind), random.Random(kind)
    cuts = [data[: rng.randrange(len(data))] for _ in range(30)]
    for _ in range(70):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 10)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        cuts.append(bytes(damaged))
    for bad in cuts:
        try:
            frames = DECODER.clip(bad).frames
        except (InvalidInput, TooLarge) as error:
            assert_fit_for_clients(error)
        else:
            assert frames.shape[0] % 2 == 0


def test_a_clip_that_ends_early_is_refused() -> None:
    """Where the index comes first, FFmpeg would read what there is."""
    data, film = clip(60), clip(60, "avi")
    at = data.index(b"moov") - 4
    samples, index = data[:at], data[at:]

    def move(kind: bytes, body: bytes) -> bytes:
        if kind == b"stco":
            return body[:8] + (np.frombuffer(body[8:], ">u4") + len(index)).astype(">u4").tobytes()
        return body

    streamed = samples[:32] + edited(index, move) + samples[32:]
    assert_shows(DECODER.clip(streamed), greys(DECODER.clip(data)))
    for early in (streamed[:-400], film[: len(film) * 2 // 3]):
        with pytest.raises(InvalidInput, match="truncated"):
            DECODER.clip(early)


def test_a_last_frame_that_lasts_is_no_truncation() -> None:
    assert DECODER.clip(variable_rate(clip(3, preset="ultrafast"), 1, 1, 99)).total_frames == 3


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_sound_alone_is_refused(kind: str) -> None:
    with pytest.raises(InvalidInput, match="without a video track"):
        DECODER.clip(media.sound(kind))


def test_sound_beside_the_pictures_is_ignored() -> None:
    """However many samples it claims: uncompressed sound has millions."""
    tracks: list[bytes] = []
    many = {b"stsz": struct.pack(">III", 0, 1, 50_000_000), b"stsc": table((1, 50_000_000, 1))}

    def keep(kind: bytes, body: bytes) -> bytes:
        if kind == b"trak":
            tracks.append(box(kind, body))
        return many.get(kind, body)

    edited(media.sound(), keep)
    data = edited(clip(5), lambda kind, body: body + tracks[0] if kind == b"moov" else body)
    started = time.thread_time()
    assert DECODER.clip(data).total_frames == 5
    assert time.thread_time() - started < 1


def test_no_address_or_file_in_a_clip_is_opened() -> None:
    """Playlists make FFmpeg open what they name; in their own guise and inside that of known containers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        playlists = [
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.mp4\n",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
            f"<?xml?><MPD profiles='urn:mpeg:dash:profile:isoff-live:2011'>http://127.0.0.1:{port}/a</MPD>",
        ]
        guises = [
            b"",
            b"\0\0\0\x14ftypisom\0\0\0\0isom",
            b"\0\0\0\x14ftypqt  \0\0\0\0qt  \n",
            b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska",
            b"\x1a\x45\xdf\xa3\x80webm\n",
            b"RIFF\n\n\n\nAVI \n",
        ]
        for guise in guises:
            for playlist in playlists:
                with pytest.raises(InvalidInput):
                    DECODER.clip(guise + playlist.encode() + b"\n" * 200)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_many_threads_see_the_same() -> None:
    samples = [clip(9, kind) for kind in CONTAINERS]
    alone = [DECODER.clip(data).frames.tobytes() for data in samples]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda data: DECODER.clip(data).frames.tobytes(), samples * 10))
    assert together == alone * 10


# -- what is missing -----------------------------------------------------------------------------


def test_without_torchcodec_clips_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = clip(4)
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(Unsupported, match="pip install torchcodec"):
        DECODER.clip(data)
    assert DECODER.picture(media.encoded(media.corners())).size == (48, 32)


def test_without_ffmpeg_clips_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = clip(4)
    monkeypatch.setattr(torchcodec, "ffmpeg_major_version", None)
    with pytest.raises(Unsupported, match="apt-get install ffmpeg"):
        DECODER.clip(data)
