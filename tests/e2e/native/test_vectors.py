"""What the config of a vector says is what is stored: fusion, weights, dimensions and instruction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest
from weaviate.classes.config import DataType, Property

from objects import AnyCollection, b64, prism_vector
from servers import Content, Stack
from weaviate_prism.bundled.drawing import clip_mp4, picture_png
from weaviate_prism.bundled.scenes import make_scenes
from weaviate_prism.v1 import prism_pb2 as pb

FIELDS: Mapping[str, Any] = {"textFields": ["title", "tags"], "imageFields": ["picture"], "videoFields": ["clip"]}
WEIGHTS = {"textFields": [3, 1], "imageFields": [0.5], "videoFields": [2]}
INSTRUCTION = "Find the shapes that this shows."

(DRAWN,) = make_scenes(1, seed=60, kinds=("group",))
(FILMED,) = make_scenes(1, seed=61, kinds=("clip",))
TITLE, TAGS = "four purple stars", ["a storm", "two red circles"]
PICTURE, CLIP = picture_png(DRAWN), clip_mp4(FILMED, 64)
PARTS: tuple[Content, ...] = (TITLE, *TAGS, PICTURE, CLIP)


@pytest.fixture(scope="module")
def collection(bundled: Stack) -> AnyCollection:
    created = bundled.client.collections.create(
        "Fused",
        properties=[
            Property(name="clip", data_type=DataType.BLOB),
            Property(name="picture", data_type=DataType.BLOB),
            Property(name="tags", data_type=DataType.TEXT_ARRAY),
            Property(name="title", data_type=DataType.TEXT),
        ],
        vector_config=[
            prism_vector("plain", **FIELDS),
            prism_vector("joint", **FIELDS, fusion="joint"),
            prism_vector("mean", **FIELDS, fusion="mean"),
            prism_vector("weighted", **FIELDS, fusion="mean", weights=WEIGHTS),
            prism_vector("short", **FIELDS, dimensions=16),
            prism_vector("instructed", **FIELDS, instruction=INSTRUCTION),
        ],
    )
    created.data.insert({"title": TITLE, "tags": TAGS, "picture": b64(PICTURE), "clip": b64(CLIP)})
    created.data.insert({"tags": TAGS, "clip": b64(CLIP)})
    return created


def stored(collection: AnyCollection, name: str, *, complete: bool = True) -> list[float]:
    """A vector of the object that has all properties, or of the one that lacks title and picture."""
    objects = collection.query.fetch_objects(include_vector=[name], return_properties=["title"]).objects
    (found,) = (each for each in objects if bool(each.properties["title"]) is complete)
    return cast("list[float]", found.vector[name])


def weighted_mean(stack: Stack, weights: Mapping[Content, float]) -> list[float]:
    """Of the vectors that Prism gives for each part alone."""
    mean = np.sum([weight * np.asarray(stack.prism.vector(part)) for part, weight in weights.items()], axis=0)
    unit: list[float] = (mean / np.linalg.norm(mean)).tolist()
    return unit


def test_parts_are_read_together_in_the_order_of_the_config(bundled: Stack, collection: AnyCollection) -> None:
    joint = bundled.prism.vector(*PARTS, fusion=pb.FUSION_JOINT)
    assert stored(collection, "joint") == pytest.approx(joint, abs=1e-5)
    assert stored(collection, "plain") == pytest.approx(joint, abs=1e-5)
    turned = bundled.prism.vector(*reversed(PARTS), fusion=pb.FUSION_JOINT)
    assert turned != pytest.approx(joint, abs=1e-3)


def test_joint_vector_of_an_object_that_lacks_properties_is_that_of_the_others(
    bundled: Stack, collection: AnyCollection
) -> None:
    assert stored(collection, "joint", complete=False) == pytest.approx(bundled.prism.vector(*TAGS, CLIP), abs=1e-5)


def test_without_weights_every_property_counts_the_same_in_a_mean(bundled: Stack, collection: AnyCollection) -> None:
    expected = weighted_mean(bundled, {TITLE: 1, TAGS[0]: 0.5, TAGS[1]: 0.5, PICTURE: 1, CLIP: 1})
    assert stored(collection, "mean") == pytest.approx(expected, abs=1e-5)


def test_weights_are_those_of_the_properties_whatever_their_order(bundled: Stack, collection: AnyCollection) -> None:
    expected = weighted_mean(bundled, {TITLE: 3, TAGS[0]: 0.5, TAGS[1]: 0.5, PICTURE: 0.5, CLIP: 2})
    assert stored(collection, "weighted") == pytest.approx(expected, abs=1e-5)


def test_weight_of_a_missing_property_drops_out(bundled: Stack, collection: AnyCollection) -> None:
    expected = weighted_mean(bundled, {TAGS[0]: 0.5, TAGS[1]: 0.5, CLIP: 2})
    assert stored(collection, "weighted", complete=False) == pytest.approx(expected, abs=1e-5)


def test_vector_is_cut_and_of_length_one_again(bundled: Stack, collection: AnyCollection) -> None:
    cut = np.asarray(bundled.prism.vector(*PARTS))[:16]
    assert stored(collection, "short") == pytest.approx((cut / np.linalg.norm(cut)).tolist(), abs=1e-5)


def test_instruction_replaces_the_models_own(bundled: Stack, collection: AnyCollection) -> None:
    instructed = bundled.prism.vector(*PARTS, instruction=INSTRUCTION)
    assert stored(collection, "instructed") == pytest.approx(instructed, abs=1e-5)
    assert instructed != pytest.approx(bundled.prism.vector(*PARTS), abs=1e-3)
