"""nearText through Weaviate, on texts that Prism has not seen before: idle, and while objects are imported."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest

from bench.timing import percentiles, seconds
from objects import AnyCollection, averaged, import_all, scene_objects
from servers import Stack

OBJECTS = 200
QUERIES = 300


@pytest.fixture(scope="module")
def collection(bundled: Stack) -> AnyCollection:
    filled = averaged(bundled.client, "Queried")
    assert import_all(filled, scene_objects(100, seed=10)) == {}
    return filled


@pytest.fixture
def query(collection: AnyCollection, request: pytest.FixtureRequest) -> Callable[[], float]:
    """Asks something new and says how long it took."""
    number = itertools.count()

    def ask() -> float:
        text = f"a red circle {request.node.name} {next(number)}"
        return seconds(lambda: collection.query.near_text(text, limit=10, return_properties=["title"]))

    ask()
    return ask


def test_query_idle(query: Callable[[], float], report: Callable[..., None]) -> None:
    report(**percentiles([query() for _ in range(QUERIES)]))


def test_query_during_import(bundled: Stack, query: Callable[[], float], report: Callable[..., None]) -> None:
    objects = scene_objects(OBJECTS, seed=11)
    for each in objects:
        assert each.properties
    thread = threading.Thread(target=import_all, args=(averaged(bundled.client, "Background"), objects))
    thread.start()
    durations = []
    while thread.is_alive():
        durations.append(query())
    report(queries=len(durations), **percentiles(durations))
