"""The largest pictures and clips that are accepted, alone and eight at once: seconds, and memory at its peak."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from bench.timing import seconds
from media import encoded, noise
from objects import b64
from servers import BUNDLED, Prism

MB = 1_000_000
WIDTH, HEIGHT = 7680, 4320  # max_image_pixels
AT_ONCE = 8


def large(mode: str, kind: str, **options: int) -> bytes:
    """As many pixels as are allowed."""
    picture = noise(WIDTH // 8, HEIGHT // 8).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
    return encoded(picture.convert(mode), kind, **options)


def film() -> bytes:
    """30 MB of 720p, 25 s, with a key frame every 8 s."""
    source = "testsrc2=size=1280x720:rate=30:duration=25,noise=alls=30:allf=t"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast"]
    command += ["-b:v", "10M", "-pix_fmt", "yuv420p", "-movflags", "frag_keyframe", "-f", "mp4", "-"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


MEDIA: dict[str, Callable[[], bytes]] = {
    "png_noise_30_mb": lambda: encoded(noise(3200, 3200), "PNG", compress_level=1),
    "png": lambda: large("RGB", "PNG", compress_level=1),
    "png_of_one_bit": lambda: encoded(Image.new("1", (WIDTH, HEIGHT)), "PNG"),
    "png_with_alpha": lambda: large("RGBA", "PNG", compress_level=1),
    "png_of_16_bits": lambda: encoded(Image.new("I;16", (WIDTH, HEIGHT), 9), "PNG"),
    "jpeg": lambda: large("RGB", "JPEG", quality=90),
    "jpeg_progressive": lambda: large("RGB", "JPEG", quality=90, progressive=True),
    "jpeg_cmyk": lambda: large("CMYK", "JPEG", quality=80),
    "gif_noise_30_mb": lambda: encoded(noise(4700, 4700).convert("L"), "GIF"),
    "webp_noise_30_mb": lambda: encoded(noise(3200, 3200), "WEBP", method=0, quality=0),
    "truncated_png_30_mb": lambda: encoded(noise(3200, 3200), "PNG", compress_level=1)[:-999],
    "garbage_30_mb": lambda: b"\x89PNG\r\n\x1a\n" + random.Random(0).randbytes(30 * MB),
    "clip_30_mb": film,
}


@pytest.fixture(scope="module")
def prism() -> Iterator[Prism]:
    with Prism(*BUNDLED, "--cache-bytes", "0") as running:
        running.embed("images", b64(encoded(noise(64, 64))))
        yield running


@pytest.mark.parametrize("name", MEDIA)
def test_largest(prism: Prism, report: Callable[..., None], name: str) -> None:
    data = b64(MEDIA[name]())
    embed = json.dumps({"video" if name.startswith("clip") else "images": [data]}).encode()
    rerank = json.dumps({"query": "a ship", "documents": [data]}).encode()

    def post(path: str, body: bytes) -> None:
        assert prism.http.post(path, content=body).status_code in ((400,) if is_bad(name) else (200,))

    def eight() -> None:
        with ThreadPoolExecutor(AT_ONCE) as clients:
            list(clients.map(lambda _: post("/vectorize", embed), range(AT_ONCE)))

    calls = {"embed": lambda: post("/vectorize", embed), "rerank": lambda: post("/rerank", rerank), "eight": eight}
    figures = {}
    for call, run in calls.items():
        before = prism.memory()
        forget_peak(prism)
        figures[f"{call}_s"] = seconds(run)
        figures[f"{call}_mb"] = (peak(prism) - before) / MB
    report(encoded_mb=len(data) * 3 / 4 / MB, **figures)


def is_bad(name: str) -> bool:
    return name.startswith(("truncated", "garbage"))


def forget_peak(prism: Prism) -> None:
    Path(f"/proc/{prism.pid}/clear_refs").write_text("5")


def peak(prism: Prism) -> int:
    """The most bytes that were resident."""
    status = Path(f"/proc/{prism.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
