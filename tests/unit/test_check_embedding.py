"""What `prism check` sends to have an object's vector made again: as Weaviate's modules do."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from weaviate_prism.check import embedding
from weaviate_prism.check.schema import Vector
from weaviate_prism.check.service import RefusedError
from weaviate_prism.v1 import prism_pb2 as pb

PICTURE = base64.b64encode(b"a picture").decode()
DIGEST = "0" * 64


def bind(**config: Any) -> Vector:
    return Vector("v", "multi2vec-bind", config)


def prism(**config: Any) -> Vector:
    return Vector("v", "multi2vec-prism", config)


def test_stock_modules_send_values_in_alphabetical_order_and_lists_of_texts_one_by_one() -> None:
    vector = bind(textFields=["title", "about", "tags"], imageFields=["photo"], videoFields=["clip", "photo"])
    properties = {"title": "t", "tags": ["x", "y"], "photo": PICTURE, "about": "", "year": 3, "other": "o"}
    assert embedding.inputs(vector, properties) == {
        "texts": ["", "x", "y", "t"],
        "images": [PICTURE],
        "video": [PICTURE],
    }


def test_a_mean_is_weaviates_by_position_in_the_order_of_texts_pictures_clips() -> None:
    answer = {"videoVectors": [[0.0, 4.0]], "textVectors": [[2.0, 0.0]]}
    assert embedding.combined(answer, []).tolist() == [1.0, 2.0]
    vector = bind(weights={"videoFields": [3], "textFields": [1]})
    assert embedding.combined(answer, embedding.weights(vector)).tolist() == [0.25, 1.5]
    assert embedding.combined({"imageVectors": [[1.0, 1.0]]}, [0.5, 0.5]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("answer", "weights", "says"),
    [({}, [], "no vector"), ({"textVectors": [[1.0], [2.0]]}, [1.0], "1 weights for 2 values")],
)
def test_what_weaviate_cannot_combine_is_refused(answer: Any, weights: list[float], says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        embedding.combined(answer, weights)


def test_the_native_module_sends_parts_in_the_order_of_the_config() -> None:
    vector = prism(textFields=["title", "tags"], imageFields=["photo", "hashed"], videoFields=["clip"])
    properties = {"hashed": DIGEST, "tags": ["x", "y"], "photo": f"data:image/png;base64,{PICTURE}", "title": "t"}
    assert embedding.parts(vector, properties) == [
        pb.Part(field="title", text="t"),
        pb.Part(field="tags", text="x"),
        pb.Part(field="tags", text="y"),
        pb.Part(field="photo", modality=pb.MODALITY_IMAGE, data=b"a picture"),
        pb.Part(field="hashed", modality=pb.MODALITY_IMAGE, digest=DIGEST),
    ]


@pytest.mark.parametrize(
    ("value", "says"), [("no base64!", "photo: is not base64"), (3, "photo: its value is of type int")]
)
def test_a_value_that_the_native_module_refuses_is_named(value: object, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        embedding.parts(prism(imageFields=["photo"]), {"photo": value})


def test_the_native_modules_target_is_the_config() -> None:
    config = {
        "textFields": ["title"],
        "imageFields": ["photo"],
        "weights": {"textFields": [1], "imageFields": [3]},
        "fusion": "mean",
        "dimensions": 16.0,
        "model": "m",
        "instruction": "look",
        "queryInstruction": "search",
    }
    assert embedding.target(prism(**config)) == pb.Target(
        name="v",
        model="m",
        dimensions=16,
        instruction="look",
        fusion=pb.FUSION_MEAN,
        fields=["title", "photo"],
        weights=np.asarray([1, 3], np.float32).tolist(),
    )
    assert embedding.target(prism(textFields=["title"])) == pb.Target(name="v", fields=["title"])
