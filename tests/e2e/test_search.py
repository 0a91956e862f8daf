"""Searches by text, picture and clip answer what Prism's own vectors say."""

from __future__ import annotations

import numpy as np
import pytest
from weaviate.classes.query import MetadataQuery

from e2e.gallery import Gallery
from e2e.searches import SEARCHES
from objects import vectors

LIMIT = 10


@pytest.mark.parametrize("name", SEARCHES)
def test_search_returns_the_nearest_objects(gallery: Gallery, name: str) -> None:
    search = SEARCHES[name]
    query = search.query(gallery.scenes(search.field)[0])
    found = search(gallery.collection, query, limit=LIMIT, return_metadata=MetadataQuery(distance=True))

    embedded = np.asarray(gallery.stack.prism.embed(search.kind, query))
    stored = vectors(gallery.collection, search.field)
    distances = {uuid: 1.0 - float(embedded @ np.asarray(vector)) for uuid, vector in stored.items()}
    told = [each.metadata.distance for each in found]
    assert told == pytest.approx([distances[str(each.uuid)] for each in found], abs=1e-5)
    assert told == pytest.approx(sorted(distances.values())[:LIMIT], abs=1e-5)


def test_hybrid_search_joins_words_and_vectors(gallery: Gallery) -> None:
    def scores(alpha: float) -> dict[str, float]:
        answer = gallery.collection.query.hybrid(
            title, target_vector="picture", alpha=alpha, limit=100, return_metadata=MetadataQuery(score=True)
        )
        return {str(each.uuid): each.metadata.score or 0.0 for each in answer.objects}

    wanted = next(iter(gallery.objects.values()))
    title = wanted.properties["title"]
    by_words, by_vector = scores(0.0), scores(1.0)
    assert next(iter(by_words)) == wanted.uuid
    joined = {uuid: (by_words.get(uuid, 0.0) + score) / 2 for uuid, score in by_vector.items()}
    assert scores(0.5) == pytest.approx(joined, abs=1e-5)
