"""Searches answer what Prism's own query vectors say, by text, picture, clip and words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from weaviate.classes.query import MetadataQuery, Move, NearMediaType

from e2e.native.paths import PATHS
from objects import PROPERTIES, AnyCollection, b64, picture, prism_vector, redrawn, scene_objects, vectors
from servers import Content, Stack
from weaviate_prism.bundled.drawing import clip_mp4, picture_png
from weaviate_prism.bundled.scenes import make_scenes
from weaviate_prism.v1 import prism_pb2 as pb

QUERY_INSTRUCTION = "Find the shapes that are asked for."
OBJECTS = scene_objects(10, seed=62)  # as many as Weaviate returns without a limit
STORM, STARS, CIRCLE = "a storm at sea", "four purple stars", "a red circle"

FIELDS = {"textFields": ["title"], "imageFields": ["picture"], "videoFields": ["clip"]}
# The target vectors, and what queries for them ask of Prism.
TARGETS: dict[str, dict[str, Any]] = {
    "all": {},
    "short": {"dimensions": 16},
    "instructed": {"instruction": QUERY_INSTRUCTION},
}


@pytest.fixture(scope="module")
def collection(bundled: Stack) -> AnyCollection:
    created = bundled.client.collections.create(
        "Searched",
        properties=PROPERTIES,
        vector_config=[
            prism_vector("all", **FIELDS),
            prism_vector("short", **FIELDS, dimensions=16),
            prism_vector("instructed", **FIELDS, queryInstruction=QUERY_INSTRUCTION),
        ],
    )
    assert PATHS["fixed_size"](bundled, created, {each.uuid: each.properties for each in OBJECTS}) == {}
    return created


def query_vector(stack: Stack, *parts: Content, target: str = "all") -> npt.NDArray[np.float64]:
    return np.asarray(stack.prism.vector(*parts, task=pb.TASK_QUERY, **TARGETS[target]))


def assert_nearest(collection: AnyCollection, found: Any, query: npt.NDArray[np.float64], target: str = "all") -> None:
    """All objects, in the order of their distance from the query's vector."""
    unit = query / np.linalg.norm(query)
    distances = {uuid: 1 - float(unit @ np.asarray(vector)) for uuid, vector in vectors(collection, target).items()}
    told = [each.metadata.distance for each in found.objects]
    assert len(told) == len(OBJECTS)
    assert told == pytest.approx([distances[str(each.uuid)] for each in found.objects], abs=1e-5)
    assert told == sorted(told)


def near_text(collection: AnyCollection, query: str | list[str], target: str = "all", **options: Any) -> Any:
    return collection.query.near_text(
        query, target_vector=target, return_metadata=MetadataQuery(distance=True), **options
    )


@pytest.mark.parametrize("target", TARGETS)
def test_near_text_asks_with_the_query_side_of_the_target(
    bundled: Stack, collection: AnyCollection, target: str
) -> None:
    expected = query_vector(bundled, STARS, target=target)
    assert_nearest(collection, near_text(collection, STARS, target), expected, target)


def test_queries_differ_from_documents(bundled: Stack) -> None:
    assert bundled.prism.vector(STARS) != pytest.approx(query_vector(bundled, STARS), abs=1e-3)


def test_several_concepts_are_queries_of_their_own_and_averaged(bundled: Stack, collection: AnyCollection) -> None:
    expected = query_vector(bundled, STORM) + query_vector(bundled, STARS)
    assert_nearest(collection, near_text(collection, [STORM, STARS]), expected)


def moving(argument: str, **to: str) -> dict[str, Any]:
    return {argument: Move(force=0.8, **to)}


def towards(query: Any, other: Any) -> Any:
    return query * (1 - 0.4) + other * 0.4  # Weaviate takes half of the force


def away(query: Any, other: Any) -> Any:
    return query + (query - other) * 0.4


@pytest.mark.parametrize(("argument", "moved"), [("move_to", towards), ("move_away", away)])
def test_near_text_is_moved_by_concepts(
    bundled: Stack, collection: AnyCollection, argument: str, moved: Callable[[Any, Any], Any]
) -> None:
    found = near_text(collection, STARS, **moving(argument, concepts=STORM))
    assert_nearest(collection, found, moved(query_vector(bundled, STARS), query_vector(bundled, STORM)))


@pytest.mark.parametrize(("argument", "moved"), [("move_to", towards), ("move_away", away)])
def test_near_text_is_moved_by_objects(
    bundled: Stack, collection: AnyCollection, argument: str, moved: Callable[[Any, Any], Any]
) -> None:
    other = OBJECTS[3].uuid
    found = near_text(collection, STARS, **moving(argument, objects=other))
    stored = np.asarray(vectors(collection, "all")[other])
    assert_nearest(collection, found, moved(query_vector(bundled, STARS), stored))


def test_near_image_asks_with_the_picture(bundled: Stack, collection: AnyCollection) -> None:
    asked = redrawn(OBJECTS[0].drawn)
    found = collection.query.near_image(
        picture(asked), target_vector="all", return_metadata=MetadataQuery(distance=True)
    )
    assert_nearest(collection, found, query_vector(bundled, picture_png(asked)))


def test_near_video_asks_with_the_clip(bundled: Stack, collection: AnyCollection) -> None:
    (asked,) = make_scenes(1, seed=63, kinds=("clip",))
    clip = clip_mp4(asked, 64)
    found = collection.query.near_media(
        b64(clip), NearMediaType.VIDEO, target_vector="all", return_metadata=MetadataQuery(distance=True)
    )
    assert_nearest(collection, found, query_vector(bundled, clip))


def test_hybrid_search_joins_words_and_vectors(collection: AnyCollection) -> None:
    title = OBJECTS[5].properties["title"]

    def scores(alpha: float) -> dict[str, float]:
        found = collection.query.hybrid(
            title, target_vector="all", alpha=alpha, limit=50, return_metadata=MetadataQuery(score=True)
        )
        return {str(each.uuid): each.metadata.score or 0.0 for each in found.objects}

    by_words, by_vector = scores(0.0), scores(1.0)
    assert next(iter(by_words)) == OBJECTS[5].uuid
    assert list(by_vector) == [str(each.uuid) for each in near_text(collection, title).objects]
    joined = {uuid: (by_words.get(uuid, 0.0) + score) / 2 for uuid, score in by_vector.items()}
    assert scores(0.5) == pytest.approx(joined, abs=1e-5)


def test_query_that_is_not_a_picture_is_refused(bundled: Stack, collection: AnyCollection) -> None:
    with pytest.raises(Exception, match="image"):
        collection.query.near_image(b64(b"not a picture"), target_vector="all")
