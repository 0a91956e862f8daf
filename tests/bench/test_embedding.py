"""Objects a second: single-object requests at Prism, as Weaviate sends them, against `encode` and infinity-emb.

`ratio`: how many times as many objects as the other makes, by 16 requests at once over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from bench import content, peers
from bench.table import AMX
from bench.timing import Way, medians_of_new

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
AT_ONCE = (1, 16, 64)
# What would take longer than twice that is refused, however many ask: 64 clips or large pictures of `mid-embed`.
SECONDS = 25


@dataclass(frozen=True)
class Case:
    """`pace`: about how many objects a second two cores make, by which turns last a second or some."""

    model: str
    what: str
    kind: str
    make: Callable[[], Any]
    pace: int
    rounds: int
    infinity: bool = False
    wanted: dict[str, float] = field(default_factory=dict)


CASES = {
    "clip_640x480": Case(
        "clip-b32",
        "640x480 JPEG",
        "images",
        lambda: content.photograph(640, 480),
        24,
        5,
        infinity=True,
        wanted={"encode one by one": 3, "encode 32": 2.5 if AMX else 1.05},
    ),
    "clip_12_megapixels": Case(
        "clip-b32", "12-megapixel JPEG", "images", lambda: content.photograph(4000, 3000), 6, 3, infinity=True
    ),
    "clip_short_text": Case(
        "clip-b32",
        "short text",
        "texts",
        lambda: content.text(6),
        60,
        5,
        infinity=True,
        wanted={"encode one by one": 3},
    ),
    "mid_short_text": Case("mid-embed", "short text", "texts", lambda: content.text(6), 30, 3),
    "mid_text_of_200_tokens": Case("mid-embed", "text of 200 tokens", "texts", lambda: content.text(100), 4, 3),
    "mid_640x480": Case("mid-embed", "640x480 JPEG", "images", lambda: content.photograph(640, 480), 1, 1),
    "mid_clip": Case("mid-embed", "10 s clip, 256x192", "video", lambda: content.clip(256, 192), 1, 1),
    "bundled_short_text": Case("scenes-embedder", "short text", "texts", lambda: content.text(6), 200, 5),
    "bundled_640x480": Case("scenes-embedder", "640x480 JPEG", "images", lambda: content.photograph(640, 480), 100, 5),
    "bundled_clip": Case("scenes-embedder", "10 s clip, 640x360", "video", lambda: content.clip(640, 360), 4, 3),
    "qwen3_vl_2b_640x480": Case(
        "qwen3-vl-2b-embed", "640x480 JPEG", "images", lambda: content.photograph(640, 480), 100, 3
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=ON_GPU if "2b" in name else ()) for name in CASES], ids=list(CASES)
)
def test_embedding(name: str, report: Callable[..., None]) -> None:
    case = CASES[name]

    def way(start: peers.Start, count: int) -> Way:
        return Way(lambda number: [case.make() for _ in range(number)], count, start)

    other = peers.infinity(case.model) if case.infinity else nullcontext()
    with peers.serving(embedder=case.model) as prism, other as server:
        plain = peers.plain(case.model)
        ways = {
            "encode one by one": way(peers.by_encode(plain, case.kind, 1), case.pace),
            "encode 32": way(peers.by_encode(plain, case.kind, 32), max(32, case.pace)),
        }
        for at_once in (each for each in AT_ONCE if each <= case.pace * SECONDS):
            count = max(at_once, case.pace)
            ways[f"http {at_once}"] = way(peers.by_http(prism, case.kind, at_once), count)
            ways[f"grpc {at_once}"] = way(peers.by_rpc(prism, at_once), count)
        if server:
            ways["infinity-emb"] = way(peers.by_infinity(server, case.kind, 16), max(16, case.pace))
        taken = medians_of_new(ways, case.rounds)
        words = peers.described(prism, "embedder")
    others = [each for each in ways if not each.startswith(("http", "grpc"))]
    report(
        what=case.what,
        model=case.model,
        **words,
        cache="new",
        ratio={each: taken[each] / taken["http 16"] for each in others},
        wanted=case.wanted,
        objects_per_s={each: 1 / seconds for each, seconds in taken.items()},
        threads=torch.get_num_threads(),
    )
