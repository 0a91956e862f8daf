"""Joint vectors through Weaviate's own modules: stored as Prism makes them, searched as ever, and found better.

multi2vec-bind has one address for all collections, multi2vec-clip one for each.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from weaviate.classes.config import Configure, DataType, Multi2VecField, Property
from weaviate.classes.query import MetadataQuery
from weaviate.exceptions import UnexpectedStatusCodeError

from e2e.searches import near_image, near_text, near_video, phrase
from e2e.test_doors import CUT_OFF, distances, url
from halves import TOP, halved, ndcg
from objects import AnyCollection, clip, failures, picture, redrawn, scene_objects, vectors
from servers import Prism, Stack
from weaviate_prism.bundled.scenes import Kind
from weaviate_prism.check.command import run as check
from weaviate_prism.weaviate.binary import ensure_binary
from weaviate_prism.weaviate.server import LOOPBACK, WeaviateServer

FILE = """
[profiles.whole]
embedder = "scenes-embedder"
fusion = "joint"
"""
PROPERTIES = [
    Property(name="tags", data_type=DataType.TEXT_ARRAY),
    Property(name="title", data_type=DataType.TEXT),
    Property(name="back", data_type=DataType.BLOB),
    Property(name="front", data_type=DataType.BLOB),
    Property(name="clip", data_type=DataType.BLOB),
]
TEXTS, PICTURES, CLIPS = ["tags", "title"], ["back", "front"], ["clip"]
READ = {"Bind": [*TEXTS, *PICTURES, *CLIPS], "Clip": [*TEXTS, *PICTURES]}
FIRST, SECOND, *_ = scene_objects(3, seed=17)
FULL = {
    "tags": ["a picture of shapes", "drawn"],
    "title": FIRST.drawn.caption,
    "back": picture(SECOND.drawn),
    "front": picture(FIRST.drawn),
    "clip": clip(FIRST.filmed),
}
OBJECTS: Mapping[str, Sequence[str]] = {
    "everything": tuple(FULL),
    "a text and a picture": ("title", "front"),
    "a picture and a clip": ("front", "clip"),
    "two pictures": PICTURES,
    "a picture": ("front",),
    "a text": ("title",),
    "several texts": TEXTS,
}


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Of all modules, only multi2vec-bind asks for joint vectors by itself."""
    folder = tmp_path_factory.mktemp("joint")
    file = folder / "prism.toml"
    file.write_text(FILE)
    ensure_binary()
    with Prism("--embedder", "scenes-embedder", "--reranker", "none", "--config", str(file)) as prism:
        environment = {"BIND_INFERENCE_API": f"{prism.url}/p/whole"}
        weaviate = WeaviateServer(prism.url, folder / "weaviate", environment=environment)
        with weaviate, weaviate.client() as client:
            yield Stack(prism, weaviate, client)


def vectorizer(stack: Stack, module: str) -> Any:
    if module == "Bind":
        return Configure.Vectors.multi2vec_bind(text_fields=TEXTS, image_fields=PICTURES, video_fields=CLIPS)
    return Configure.Vectors.multi2vec_clip(
        text_fields=TEXTS, image_fields=PICTURES, inference_url=url(stack, "/p/whole")
    )


@pytest.fixture(scope="module", params=READ)
def module(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def filled(joint: Stack, module: str) -> AnyCollection:
    """One object of each kind."""
    collection = joint.client.collections.create(
        f"Joint{module}", properties=PROPERTIES, vector_config=vectorizer(joint, module)
    )
    with collection.batch.dynamic() as batch:
        for name, fields in OBJECTS.items():
            batch.add_object({field: FULL[field] for field in fields}, uuid=of(name))
    assert failures(collection) == {}
    return collection


def of(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def expected(stack: Stack, properties: Mapping[str, Any], read: Sequence[str]) -> list[float]:
    """The joint vector that gRPC gives; of texts alone, Weaviate's mean of each one's own."""
    values = [(field, properties[field]) for field in read if field in properties]
    texts = [text for field, value in values if field in TEXTS for text in (value if field == "tags" else [value])]
    media = [base64.b64decode(value) for field, value in values if field not in TEXTS]
    if media:
        return stack.prism.vector(*texts, *media, model="whole")
    mean: list[float] = np.mean([stack.prism.vector(text, model="whole") for text in texts], axis=0).tolist()
    return mean


@pytest.mark.parametrize("name", OBJECTS)
def test_weaviate_stores_the_joint_vector_as_it_is(joint: Stack, module: str, filled: AnyCollection, name: str) -> None:
    properties = {field: FULL[field] for field in OBJECTS[name]}
    assert vectors(filled)[of(name)] == pytest.approx(expected(joint, properties, READ[module]), abs=1e-6)


@dataclass(frozen=True)
class Search:
    run: Callable[..., Any]
    asked: Any


WORDS, DRAWN, FILMED = phrase(FIRST.drawn), picture(redrawn(FIRST.drawn)), clip(redrawn(FIRST.filmed))
TEXTS_AND_PICTURE = (Search(near_text, WORDS), Search(near_text, [WORDS, "drawn"]), Search(near_image, DRAWN))
SEARCHES = {"Bind": (*TEXTS_AND_PICTURE, Search(near_video, FILMED)), "Clip": TEXTS_AND_PICTURE}


def test_searches_are_as_ever(joint: Stack, module: str, filled: AnyCollection) -> None:
    for search in SEARCHES[module]:
        found = search.run(filled, search.asked, return_metadata=MetadataQuery(distance=True)).objects
        media = search.run is not near_text
        contents = [base64.b64decode(search.asked)] if media else np.atleast_1d(search.asked).tolist()
        query = np.mean([joint.prism.vector(each) for each in contents], axis=0).tolist()
        wanted = distances(vectors(filled), query)
        assert {str(each.uuid): each.metadata.distance for each in found} == pytest.approx(wanted, abs=1e-5)


def test_an_update_of_one_property_is_read_with_the_others(joint: Stack, module: str) -> None:
    collection = joint.client.collections.create(
        f"Updated{module}", properties=PROPERTIES, vector_config=vectorizer(joint, module)
    )
    before = {"title": FULL["title"], "front": FULL["front"]}
    of_object = str(collection.data.insert(before))
    for change in ({"title": SECOND.drawn.caption}, {"front": FULL["back"]}):
        collection.data.update(of_object, change)
        before |= change
        assert vectors(collection)[of_object] == pytest.approx(expected(joint, before, READ[module]), abs=1e-6)


def test_an_object_with_a_part_that_cannot_be_read_is_refused(joint: Stack, module: str) -> None:
    collection = joint.client.collections.create(
        f"Refused{module}", properties=PROPERTIES, vector_config=vectorizer(joint, module)
    )
    with pytest.raises(UnexpectedStatusCodeError, match=r"images\[1\]: the PNG picture cannot be decoded"):
        collection.data.insert({**FULL, "front": CUT_OFF})
    assert len(collection) == 0


@pytest.mark.parametrize(("weights", "share"), [((3, 1), 0.75), ((0, 1), 0.0)])
def test_weights_only_scale_a_joint_vector(joint: Stack, weights: tuple[float, float], share: float) -> None:
    """Weaviate multiplies it by what the first field weighs. The README advises against it."""
    collection = joint.client.collections.create(
        f"Weighted{weights[0]}",
        properties=PROPERTIES,
        vector_config=Configure.Vectors.multi2vec_clip(
            text_fields=[Multi2VecField(name="title", weight=weights[0])],
            image_fields=[Multi2VecField(name="front", weight=weights[1])],
            inference_url=url(joint, "/p/whole"),
        ),
    )
    of_object = str(collection.data.insert({name: FULL[name] for name in ("title", "front")}))
    whole = np.array(expected(joint, FULL, ("title", "front")))
    assert vectors(collection)[of_object] == pytest.approx((share * whole).tolist(), abs=1e-6)


@pytest.fixture
def checked(joint: Stack, capsys: pytest.CaptureFixture[str]) -> Callable[[str, str], list[str]]:
    """What `prism check` finds of one kind about a collection: level and words."""

    def look(name: str, kind: str) -> list[str]:
        prism = ["--prism", url(joint), "--prism-grpc", joint.prism.grpc_address]
        weaviate = ["--weaviate", joint.weaviate.url, "--weaviate-grpc", f"{LOOPBACK}:{joint.weaviate.grpc_port}"]
        check([*prism, *weaviate, "--collection", name, "--json"])
        found = json.loads(capsys.readouterr().out)["findings"]
        return [f"{each['level']} {each['says']}" for each in found if each["check"] == kind]

    return look


def test_prism_check_knows_the_profile_whether_the_collection_names_it_or_the_environment(
    filled: AnyCollection, checked: Callable[[str, str], list[str]]
) -> None:
    (model,) = checked(filled.name, "model")
    assert model.startswith("green")
    assert "as by profile 'whole'" in model


@pytest.mark.parametrize(("weights", "level"), [((3, 1), "yellow"), ((0, 1), "red")])
def test_prism_check_warns_of_weights(
    joint: Stack, weights: tuple[float, float], level: str, checked: Callable[[str, str], list[str]]
) -> None:
    """Though it is only Weaviate's environment that asks for joint vectors."""
    collection = joint.client.collections.create(
        f"Warned{weights[0]}",
        properties=PROPERTIES,
        vector_config=Configure.Vectors.multi2vec_bind(
            text_fields=[Multi2VecField(name="title", weight=weights[0])],
            image_fields=[Multi2VecField(name="front", weight=weights[1])],
        ),
    )
    collection.data.insert({name: FULL[name] for name in ("title", "front")})
    served, weighted = checked(collection.name, "profile")
    assert served.startswith("green")
    assert weighted.startswith(f"{level} weights")


@pytest.mark.parametrize(("kind", "count"), [("clip", 144), ("pair", 150)])
def test_what_is_half_shown_and_half_told_is_found_better(joint: Stack, kind: Kind, count: int) -> None:
    """The same objects with both vectors; one search for each."""
    objects = halved(kind, count, seed=23)
    clips = partial(Configure.Vectors.multi2vec_clip, text_fields=["title"], image_fields=["front"])
    collection = joint.client.collections.create(
        f"Halved{kind}",
        properties=PROPERTIES,
        vector_config=[
            clips(name="joint", inference_url=url(joint, "/p/whole")),
            clips(name="mean", inference_url=url(joint)),
        ],
    )
    with collection.batch.dynamic() as batch:
        for number, each in enumerate(objects):
            properties = {"title": each.caption, "front": picture(each.shown)}
            batch.add_object(properties, uuid=uuid.UUID(int=number))
    assert failures(collection) == {}

    def found(query: str, vector: str) -> list[int]:
        answers = near_text(collection, query, target_vector=vector, limit=TOP, return_properties=[])
        return [each.uuid.int for each in answers.objects]

    by_vector = {vector: ndcg(found(each.query, vector) for each in objects) for vector in ("joint", "mean")}
    print(f"\n{count} {kind}s, nDCG@10: joint {by_vector['joint']:.3f}, Weaviate's mean {by_vector['mean']:.3f}")
    assert by_vector["joint"] > by_vector["mean"] + 0.05
