"""Objects per second into Weaviate, each with a text, a picture and a clip that Prism has not seen before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.shares import Share
from bench.timing import seconds
from objects import BATCHES, averaged, import_all, scene_objects
from servers import Stack

OBJECTS = 500


@pytest.mark.parametrize("style", BATCHES)
def test_import(bundled: Stack, report: Callable[..., None], style: str) -> None:
    objects = scene_objects(OBJECTS, seed=list(BATCHES).index(style))
    size = sum(len(text) for each in objects for text in each.properties.values())  # drawn here, before the clock
    collection = averaged(bundled.client, f"Import_{style}")

    def run() -> None:
        assert import_all(collection, objects, BATCHES[style]) == {}

    share = Share(bundled)
    took = seconds(run)
    report(
        what=f"import through Weaviate by multi2vec-bind, {style} batches",
        model="scenes-embedder",
        cache="new",
        objects_per_s=OBJECTS / took,
        kilobytes_per_object=size / OBJECTS / 1000,
        prism_requests_at_once=share.request_seconds() / took,
        **share.cpu(),
    )
