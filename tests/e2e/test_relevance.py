"""What was asked for is among the first three, both for the embedder and for the reranker."""

from __future__ import annotations

import pytest
from weaviate.classes.query import Rerank

from e2e.gallery import Gallery
from e2e.searches import SEARCHES, Search
from weaviate_prism.bundled.scenes import Facts


def found_share(gallery: Gallery, search: Search, *, queries: int, limit: int, rerank: bool) -> float:
    """The share of queries that have a right object among the first three."""

    def found(query: str, facts: Facts) -> bool:
        options = {"rerank": Rerank(prop=search.field, query=query)} if rerank else {}
        first = search(gallery.collection, query, limit=limit, **options)[:3]
        return any(facts.matches(gallery.facts(each.uuid, search.field)) for each in first)

    scenes = gallery.scenes(search.field)[:queries]
    return sum(found(search.query(scene), scene.facts) for scene in scenes) / queries


@pytest.mark.parametrize("name", SEARCHES)
def test_search_finds_what_was_asked_for(gallery: Gallery, name: str) -> None:
    assert found_share(gallery, SEARCHES[name], queries=20, limit=3, rerank=False) >= 0.9


@pytest.mark.parametrize("name", SEARCHES)
def test_reranking_finds_it_among_many(gallery: Gallery, name: str) -> None:
    # Half of all objects are ranked anew, so that the order of the search does not help; chance is below 0.2.
    assert found_share(gallery, SEARCHES[name], queries=10, limit=32, rerank=True) >= 0.8
