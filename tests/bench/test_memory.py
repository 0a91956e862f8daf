"""Memory of `prism serve` with the bundled pair: idle, and after 20,000 mixed requests.

What the caches hold is told apart: growth beyond it should be none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.timing import seconds
from objects import b64, clip
from servers import BUNDLED, Prism
from weaviate_prism.bundled.drawing import picture_png
from weaviate_prism.bundled.scenes import make_scenes

MB = 1_000_000
WARM_UP, REQUESTS, CLIENTS = 1_000, 20_000, 4


def test_memory(report: Callable[..., None]) -> None:
    with Prism(*BUNDLED) as prism:
        idle = prism.memory()
        send(prism, WARM_UP)
        warm, cached = prism.memory(), held(prism)
        took = seconds(lambda: send(prism, REQUESTS))
        growth, more_cached = prism.memory() - warm, held(prism) - cached
    report(
        what=f"{REQUESTS} mixed requests",
        model="bundled pair",
        wanted={"growth_beyond_caches_mb": 0},
        idle_mb=idle / MB,
        warm_mb=warm / MB,
        growth_mb=growth / MB,
        more_in_caches_mb=more_cached / MB,
        growth_beyond_caches_mb=(growth - more_cached) / MB,
        requests_per_second=REQUESTS / took,
    )


def held(prism: Prism) -> float:
    """Bytes in both caches."""
    return prism.metric("prism_cache_bytes") + prism.metric("prism_vision_cache_bytes")


def send(prism: Prism, count: int) -> None:
    """All must be answered."""

    def post(request: tuple[str, dict[str, Any]]) -> int:
        path, body = request
        return prism.http.post(path, json=body).status_code

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert set(pool.map(post, requests(count))) == {200}


def requests(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Mostly single objects as Weaviate sends them; one in ten has a clip, one in ten is a rerank of 5 pictures."""
    rng = random.Random(count)
    pictures = [b64(picture_png(scene, 64)) for scene in make_scenes(100, seed=40, kinds=("group",))]
    clips = [clip(scene) for scene in make_scenes(10, seed=41, kinds=("clip",))]
    for number in range(count):
        if number % 10 == 0:
            yield "/vectorize", {"texts": [f"object {number}"], "video": [rng.choice(clips)]}
        elif number % 10 == 1:
            yield "/rerank", {"query": f"query {number}", "documents": rng.sample(pictures, 5)}
        else:
            yield "/vectorize", {"texts": [f"object {number}"], "images": [rng.choice(pictures)]}
