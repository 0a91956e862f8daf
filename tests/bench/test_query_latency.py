"""Searches through Weaviate, on texts that Prism has not seen before, and how much of their time is Prism's."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from weaviate.classes.query import Rerank

from bench.shares import Share
from bench.timing import percentiles, seconds
from objects import AnyCollection, averaged, import_all, scene_objects
from servers import Stack

OBJECTS = 200
QUERIES = 300
RERANKED, DOCUMENTS = 20, 32  # as many as Weaviate sends at once
WORDS = {"model": "scenes-embedder", "cache": "new"}


@pytest.fixture(scope="module")
def collection(bundled: Stack) -> AnyCollection:
    filled = averaged(bundled.client, "Queried")
    assert import_all(filled, scene_objects(100, seed=10)) == {}
    return filled


@pytest.fixture
def query(collection: AnyCollection, request: pytest.FixtureRequest) -> Callable[..., float]:
    """Asks something new and says how long it took."""
    number = itertools.count()

    def ask(rerank: str = "", limit: int = 10) -> float:
        text = f"a red circle {request.node.name} {next(number)}"
        by = Rerank(prop=rerank, query=text) if rerank else None
        return seconds(lambda: collection.query.near_text(text, limit=limit, rerank=by, return_properties=["title"]))

    ask()
    return ask


def test_query_idle(bundled: Stack, query: Callable[..., float], report: Callable[..., None]) -> None:
    share = Share(bundled)
    durations = [query() for _ in range(QUERIES)]
    prism = share.request_seconds() / sum(durations)
    report(what="nearText through Weaviate, idle", **WORDS, **percentiles(durations), prism_share_of_time=prism)


def test_query_during_import(bundled: Stack, query: Callable[..., float], report: Callable[..., None]) -> None:
    objects = scene_objects(OBJECTS, seed=11)
    for each in objects:
        assert each.properties
    thread = threading.Thread(target=import_all, args=(averaged(bundled.client, "Background"), objects))
    thread.start()
    durations = []
    while thread.is_alive():
        durations.append(query())
    what = f"nearText through Weaviate while {OBJECTS} objects are imported"
    report(what=what, **WORDS, queries=len(durations), **percentiles(durations))


@pytest.mark.parametrize("prop", ["title", "picture", "clip"])
def test_search_and_rerank(bundled: Stack, query: Callable[..., float], report: Callable[..., None], prop: str) -> None:
    """The picture and clip were seen at insert: the bundled pair's vision towers are one."""
    query(prop, DOCUMENTS)
    share = Share(bundled)
    durations = [query(prop, DOCUMENTS) for _ in range(RERANKED)]
    prism = share.request_seconds() / sum(durations)
    report(
        what=f"nearText and rerank of {DOCUMENTS} by their {prop}, through Weaviate",
        model="bundled pair",
        cache="new" if prop == "title" else "seen",
        **percentiles(durations),
        prism_share_of_time=prism,
    )
