"""Memory of `prism serve` with the bundled pair: idle, and after 10,000 requests that no cache answers."""

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
WARM_UP, REQUESTS, CLIENTS = 1_000, 10_000, 4


def test_memory(report: Callable[..., None]) -> None:
    with Prism(*BUNDLED, "--cache-bytes", "0") as prism:
        idle = prism.memory()
        send(prism, WARM_UP)
        warm = prism.memory()
        took = seconds(lambda: send(prism, REQUESTS))
        after = prism.memory()
    report(idle_mb=idle / MB, warm_mb=warm / MB, growth_mb=(after - warm) / MB, requests_per_second=REQUESTS / took)


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
