"""What is sent: texts, photographs and clips that no cache has seen before."""

from __future__ import annotations

import functools
import io
import itertools
import random
import subprocess

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bench.words import WORDS
from media import box
from objects import padded_jpeg

QUALITY = 88  # 640 x 480 pixels are some 50 kB, 12 megapixels 1.6 MB
# So many are drawn; 12 megapixels take two seconds.
SMALL_PHOTOGRAPHS, LARGE_PHOTOGRAPHS, CLIPS = 64, 4, 4
LARGE = 2_000_000

numbers = itertools.count()


def text(words: int) -> str:
    """A new one; with the tokenizer of `mid-embed` a word is two tokens."""
    return " ".join([f"{next(numbers)}", *random.Random(next(numbers)).choices(WORDS, k=words - 1)])


def photograph(width: int, height: int) -> bytes:
    """A new JPEG: a comment makes one of a few another picture to every cache, and is no work to a decoder."""
    count = LARGE_PHOTOGRAPHS if width * height > LARGE else SMALL_PHOTOGRAPHS
    picture = _photograph(width, height, next(numbers) % count)
    return padded_jpeg(next(numbers), len(picture) + 32, picture)


@functools.cache
def _photograph(width: int, height: int, seed: int) -> bytes:
    """A sky's gradient, soft shapes with sharp edges, and a sensor's noise."""
    rng = np.random.default_rng(seed)
    top, bottom = rng.integers(0, 256, (2, 3))
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture = Image.fromarray(np.broadcast_to(top + (bottom - top) * ramp, (height, width, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(30):
        x, y, radius = rng.random(3) * (width, height, width / 6)
        colour = tuple(rng.integers(0, 256, 3).tolist())
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(
            (x - radius, y - radius, x + radius, y + radius), colour
        )
    grain = rng.integers(-5, 6, (height, width, 1), dtype=np.int16)
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(1)), dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def clip(width: int, height: int, seconds: int = 10) -> bytes:
    """A new MP4: an empty box at the end makes the frames of one of a few another clip to every cache."""
    return _clip(width, height, seconds, next(numbers) % CLIPS) + box(b"free", next(numbers).to_bytes(8, "big"))


@functools.cache
def _clip(width: int, height: int, seconds: int, seed: int) -> bytes:
    """24 frames a second in H.264, a key frame every 250, as x264 does by itself."""
    source = f"testsrc2=size={width}x{height}:rate=24:duration={seconds},hue=h={seed * 90}"
    source += f",noise=alls=4:allf=t:all_seed={seed}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "veryfast"]
    command += ["-pix_fmt", "yuv420p", "-movflags", "frag_keyframe", "-f", "mp4", "-"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
