"""Reranking 32 pictures by a text, as many as Weaviate sends at once: Prism alone, and as part of a search."""

from __future__ import annotations

from collections.abc import Callable

from weaviate.classes.query import Rerank

from bench.timing import medians
from objects import averaged, import_all, scene_objects
from servers import Stack

DOCUMENTS = 32
ROUNDS = 10
QUERY = "a red circle"


def test_rerank_32_pictures(bundled: Stack, report: Callable[..., None]) -> None:
    objects = scene_objects(DOCUMENTS, seed=20)
    pictures = [each.properties["picture"] for each in objects]
    collection = averaged(bundled.client, "Reranked")
    assert import_all(collection, objects) == {}

    def search(rerank: Rerank | None) -> None:
        found = collection.query.near_text(QUERY, limit=DOCUMENTS, rerank=rerank, return_properties=["title"])
        assert len(found.objects) == DOCUMENTS

    times = medians(
        {
            "rerank_s": lambda: bundled.prism.rerank(QUERY, pictures),
            "search_s": lambda: search(None),
            "search_and_rerank_s": lambda: search(Rerank(prop="picture", query=QUERY)),
        },
        ROUNDS,
    )
    report(**times)
