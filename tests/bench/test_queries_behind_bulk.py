"""What a search waits for while 16 clients import or rerank: two turns idle and two behind them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bench import content, peers
from bench.load import drive, drive_behind, http, http_object
from bench.timing import percentiles
from servers import Prism, wait_until

AT_ONCE = 16
TURNS = 2
SECONDS = 45  # for the queries of one turn, after which no further one is sent
SHORT_DOCUMENTS, BULK_DOCUMENTS, WORDS = 4, 32, 120


def test_text_query_behind_12_megapixel_inserts(report: Callable[..., None]) -> None:
    with peers.serving(embedder="clip-b32") as prism:
        figures = compare(
            prism,
            lambda: http_object(content.text(6), "texts"),
            lambda: http_object(content.photograph(4000, 3000), "images"),
            queries=150,
        )
        words = peers.described(prism, "embedder")
    what = f"text query behind {AT_ONCE} inserts of 12-megapixel JPEGs"
    report(what=what, model="clip-b32", **words, cache="new", wanted={"p50": 2, "p99": 4}, **figures)


def test_short_rerank_behind_12_megapixel_inserts(report: Callable[..., None]) -> None:
    """Two models: the inserts are the embedder's."""
    with peers.serving(embedder="clip-b32", reranker="mid-rerank") as prism:
        figures = compare(
            prism,
            lambda: rerank(SHORT_DOCUMENTS, 6),
            lambda: http_object(content.photograph(4000, 3000), "images"),
            queries=60,
        )
        words = peers.described(prism, "reranker")
    what = f"rerank of {SHORT_DOCUMENTS} short texts behind {AT_ONCE} inserts of 12-megapixel JPEGs by clip-b32"
    report(what=what, model="mid-rerank", **words, cache="new", wanted={}, **figures)


def test_short_rerank_behind_reranks_of_32_documents(report: Callable[..., None]) -> None:
    with peers.serving(reranker="mid-rerank") as prism:
        short, bulk = (lambda: rerank(SHORT_DOCUMENTS, 6)), (lambda: rerank(BULK_DOCUMENTS, WORDS))
        figures = compare(prism, short, bulk, queries=30)
        words = peers.described(prism, "reranker")
    what = (
        f"rerank of {SHORT_DOCUMENTS} short texts behind {AT_ONCE} requests of {BULK_DOCUMENTS} texts of {WORDS} words"
    )
    report(what=what, model="mid-rerank", **words, cache="new", wanted={"p50": 3}, **figures)


def rerank(documents: int, words: int) -> bytes:
    texts = [content.text(words) for _ in range(documents)]
    (request,) = peers.rerank_requests(content.text(6), texts)
    return request


def compare(
    prism: Prism, query: Callable[[], bytes], bulk: Callable[[], bytes], queries: int
) -> dict[str, dict[str, float]]:
    """Milliseconds idle and behind bulk work, their ratio, and how much of the bulk work was answered and refused."""
    idle: list[float] = []
    loaded: list[float] = []
    refused = 0
    totals = {"answered": 0.0, "refused": 0.0}
    bulk()  # draws
    for _ in range(TURNS):
        drive(http(prism.url), [query() for _ in range(queries // 10)], 1)
        idle += drive(http(prism.url), [query() for _ in range(queries)], 1)
        behind = drive_behind(http(prism.url), for_a_while(query, queries), iter(bulk, None), AT_ONCE)
        loaded += behind.durations
        for name in totals:
            totals[name] += behind.bulk[name]
        refused += behind.refused
        wait_until(lambda: prism.metric("prism_queue_depth") == 0)
    quiet, busy = percentiles(idle), percentiles(loaded)
    return {
        "ratio": {name.removesuffix("_ms"): busy[name] / quiet[name] for name in quiet},
        "idle": quiet,
        "behind": {**busy, "queries": len(loaded), "refused": refused},
        "bulk": totals,
    }


def for_a_while(make: Callable[[], bytes], count: int) -> Iterator[bytes]:
    """At least two."""
    end = time.monotonic() + SECONDS
    for number in range(count):
        if number >= 2 and time.monotonic() > end:
            return
        yield make()
