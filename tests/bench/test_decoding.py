"""A picture decoded and prepared, exactly and as fast as may be, and what that does to its vector.

Cosines of exact and fast stand beside the mean cosine of different pictures. `PRISM_BENCH_EMBEDDER` takes another
model than the bundled one, whose pictures are drawings: the figures of a model hold for that model.
"""

from __future__ import annotations

import io
import itertools
import os
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from weaviate_prism.config import Settings
from weaviate_prism.media import MediaDecoder
from weaviate_prism.models.base import Content, WantedSize
from weaviate_prism.models.embedder import SentenceEmbedder, load
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

SIZES = [(640, 480), (4000, 3000)]
PICTURES, ROUNDS = 5, 5
DECODER = MediaDecoder(Settings())


def photograph(width: int, height: int, seed: int) -> bytes:
    """A JPEG with what photographs have: light, things with edges, texture of several sizes, noise of the sensor."""
    random = np.random.default_rng(seed)
    down, right = np.mgrid[0:height, 0:width].astype(np.float32)
    light = np.stack([right * random.uniform(50, 255) / width, down * 255 / height, (right + down) / 20], axis=-1)
    picture = Image.fromarray(light.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for number in range(60):
        colour = tuple(random.integers(0, 256, 3).tolist())
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        size = int(random.lognormal(0, 0.8) * width / 25) + 2
        shape = (pen.ellipse, pen.rectangle)[number % 2]
        shape((x - size, y - size * 0.7, x + size, y + size * 0.7), fill=colour)
        pen.line((x, y, x + 3 * size, y + size), fill=colour, width=max(1, size // 20))
    pixels = np.asarray(picture).astype(np.float32) + random.normal(0, 6, (height, width, 1))
    for grain in (8, 32):
        coarse = Image.fromarray(random.integers(0, 29, (height // grain, width // grain), dtype=np.uint8))
        pixels += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))[..., None]
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85 + seed % 6)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    name = os.environ.get("PRISM_BENCH_EMBEDDER", "scenes-embedder")
    return load(ModelSpec("embedder", name), Settings(decode="fast"))


def least_cpu_ms(call: Callable[[], object]) -> float:
    """Of this thread, which does it all."""

    def once() -> float:
        began = time.thread_time()
        call()
        return time.thread_time() - began

    return min(once() for _ in range(ROUNDS)) * 1000


@pytest.mark.parametrize("size", SIZES)
def test_decoding(embedder: SentenceEmbedder, report: Callable[..., None], size: tuple[int, int]) -> None:
    wanted = embedder.wanted_size
    assert wanted, "this model wants every pixel"
    pictures = [photograph(*size, seed) for seed in range(PICTURES)]

    def read(picture: bytes, wanted: WantedSize | None) -> Content:
        return embedder.patched(DECODER.picture(picture, wanted))

    def vector(picture: bytes, wanted: WantedSize | None) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        (found,) = embedder.forward([embedder.prepare([read(picture, wanted)], Task.DOCUMENT, "")])
        return found / np.linalg.norm(found)  # type: ignore[no-any-return]

    times = {
        "decode_exact_ms": least_cpu_ms(lambda: DECODER.picture(pictures[0])),
        "decode_fast_ms": least_cpu_ms(lambda: DECODER.picture(pictures[0], wanted)),
        "with_patches_exact_ms": least_cpu_ms(lambda: read(pictures[0], None)),
        "with_patches_fast_ms": least_cpu_ms(lambda: read(pictures[0], wanted)),
    }
    exact, fast = ([vector(each, mode) for each in pictures] for mode in (None, wanted))
    pairs = list(zip(exact, fast, strict=True))
    others = [float(one @ another) for one, another in itertools.combinations(exact, 2)]
    report(
        **times,
        millionths_from_cosine_1=max(1 - float(one @ another) for one, another in pairs) * 1e6,
        millionths_most_of_a_component=max(float(np.abs(one - another).max()) for one, another in pairs) * 1e6,
        cosine_of_different_pictures=float(np.mean(others)),
        kilobytes=sum(map(len, pictures)) / PICTURES / 1000,
    )
