"""`prism check` finds mistakes planted in a real Weaviate, each with its cure, and nothing in a healthy one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import AnyHttpUrl
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import MetadataQuery

from objects import PROPERTIES, averaged, import_all, named, scene_objects
from servers import BUNDLED, FAKE, Prism, Stack, stack
from weaviate_prism.check.command import run
from weaviate_prism.weaviate.server import LOOPBACK, WeaviateServer

OBJECTS = scene_objects(12, seed=90)
HEALTHY = ("Averaged", "Named", "Weighted")
CLIP = Configure.Vectors.multi2vec_clip
BIND = Configure.Vectors.multi2vec_bind


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three healthy collections, and others with a mistake each."""
    with stack(tmp_path_factory.mktemp("check"), *BUNDLED) as running:
        healthy(running)
        wrong_addresses(running)
        wrong_fields(running)
        wrong_vectors(running)
        yield running


def healthy(stack: Stack) -> None:
    import_all(averaged(stack.client, "Averaged"), OBJECTS)
    import_all(named(stack.client, "Named"), OBJECTS)
    weights = {"textFields": [3], "imageFields": [1]}
    fields = {"textFields": ["title"], "imageFields": ["picture"], "weights": weights}
    config = Configure.Vectors.custom(
        module_name="multi2vec-clip", module_config={**fields, "inferenceUrl": stack.prism.url}
    )
    weighted = create(stack, "Weighted", config, PROPERTIES[:2])
    for each in OBJECTS:
        weighted.data.insert({name: each.properties[name] for name in ("title", "picture")}, uuid=each.uuid)


def create(stack: Stack, name: str, vectors: Any, properties: Any = PROPERTIES, **more: Any) -> Any:
    return stack.client.collections.create(name, properties=properties, vector_config=vectors, **more)


def wrong_addresses(stack: Stack) -> None:
    create(stack, "Slash", CLIP(image_fields=["picture"], inference_url=f"{stack.prism.url}/"), PROPERTIES[:2])
    nowhere, judge = (f"{stack.prism.url}/p/{name}" for name in ("nope", "scenes-reranker"))
    create(stack, "NoProfile", CLIP(image_fields=["picture"], inference_url=nowhere), PROPERTIES[:2])
    create(stack, "WrongKind", CLIP(image_fields=["picture"], inference_url=judge), PROPERTIES[:2])
    create(stack, "Elsewhere", CLIP(image_fields=["picture"], inference_url="http://u:s3cret@other:1"), PROPERTIES[:2])
    voyage = Configure.Vectors.multi2vec_voyageai(base_url=AnyHttpUrl(stack.prism.url), image_fields=["picture"])
    create(stack, "ClientsSlash", voyage, PROPERTIES[:2])
    create(stack, "Public", Configure.Vectors.multi2vec_voyageai(image_fields=["picture"]), PROPERTIES[:2])
    cohere = Configure.Reranker.custom("reranker-cohere", module_config={})
    create(stack, "PublicReranker", BIND(text_fields=["title"]), PROPERTIES[:1], reranker_config=cohere)


def wrong_fields(stack: Stack) -> None:
    create(stack, "Misspelt", CLIP(image_fields=["Picture"]))
    year = Property(name="year", data_type=DataType.INT)
    create(stack, "Number", BIND(text_fields=["title", "year"]), [PROPERTIES[0], year])
    create(stack, "Sound", BIND(text_fields=["title"], audio_fields=["sound"]), PROPERTIES[:1])
    text = Configure.Vectors.text2vec_transformers
    create(stack, "ClassName", text(vectorize_collection_name=True), PROPERTIES[:1])
    create(stack, "BlobAsText", text(vectorize_collection_name=False))
    photo = Property(name="photo", data_type=DataType.BLOB_HASH)
    reranker = Configure.Reranker.transformers()
    hashed = create(stack, "Hashed", CLIP(image_fields=["photo"]), [photo], reranker_config=reranker)
    hashed.data.insert({"photo": OBJECTS[0].properties["picture"]})


def wrong_vectors(stack: Stack) -> None:
    rng = np.random.default_rng(1)
    other = averaged(stack.client, "OtherModel")
    short = averaged(stack.client, "OtherSize")
    size = len(stack.prism.embed("texts", "a"))
    for each in OBJECTS:
        other.data.insert(each.properties, uuid=each.uuid, vector=rng.normal(size=size).tolist())
        short.data.insert(each.properties, uuid=each.uuid, vector=[0.5, 0.5, 0.5])
    bare = create(stack, "Bare", [BIND(name="title", text_fields=["title"])], PROPERTIES[:1])
    bare.data.insert({}, uuid=OBJECTS[0].uuid)  # the first one: later, Weaviate refuses it
    bare.data.insert({"title": "a star"})
    late = create(stack, "Late", [BIND(name="title", text_fields=["title"])], PROPERTIES[:2])
    for each in OBJECTS[:7]:
        late.data.insert({name: each.properties[name] for name in ("title", "picture")}, uuid=each.uuid)
    late.config.add_vector(vector_config=BIND(name="picture", image_fields=["picture"]))


def arguments(stack: Stack, prism: Prism | None = None) -> list[str]:
    prism = prism or stack.prism
    weaviate = ["--weaviate", stack.weaviate.url, "--weaviate-grpc", f"{LOOPBACK}:{stack.weaviate.grpc_port}"]
    return [*weaviate, "--prism", prism.url, "--prism-grpc", prism.grpc_address]


def only(*names: str) -> list[str]:
    return [argument for name in names for argument in ("--collection", name)]


@pytest.fixture
def checked(planted: Stack, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command on some collections and returns its status and what it found."""

    def check(*names: str) -> tuple[int, list[dict[str, str]]]:
        status = run([*arguments(planted), *only(*names), "--json"])
        return status, json.loads(capsys.readouterr().out)["findings"]

    return check


def test_a_healthy_set_up_is_all_green(checked: Any) -> None:
    status, found = checked(*HEALTHY)
    assert [each for each in found if each["level"] != "green"] == []
    assert status == 0
    checks = {each["check"] for each in found}
    assert {"ready", "gpu", "ffmpeg", "timeouts", "modules", "validate-base-url"} <= checks
    compared = {each["about"]: each["says"] for each in found if each["check"] == "model"}
    expected = {"Averaged.default", "Named.title", "Named.picture", "Named.clip", "Weighted.default"}
    assert compared.keys() == expected
    assert all(says.startswith("8 objects vectorized again") for says in compared.values())


@pytest.mark.parametrize(
    ("name", "about", "check", "level", "says", "cure"),
    [
        ("Slash", "Slash.default", "base-url", "yellow", "ends with a slash", "leave the slash out"),
        ("ClientsSlash", "ClientsSlash.default", "base-url", "green", "slash that weaviate-client adds", ""),
        ("NoProfile", "NoProfile.default", "profile", "red", "no embedder profile 'nope'", "--config"),
        ("WrongKind", "WrongKind.default", "profile", "red", "(it is a reranker)", "in a new collection"),
        ("Elsewhere", "Elsewhere.default", "base-url", "yellow", "http://***@other:1 is not", "--seen-as"),
        ("Public", "Public.default", "base-url", "red", "https://api.voyageai.com/v1 is the public", "Prism's address"),
        ("PublicReranker", "PublicReranker", "base-url", "red", "https://api.cohere.ai", "name Prism's address"),
        ("Misspelt", "Misspelt.default", "fields", "red", 'no property "Picture"', 'it is called "picture"'),
        ("Misspelt", "Misspelt", "fields", "yellow", "no vector is made of picture, clip", "imageFields"),
        ("Number", "Number.default", "fields", "red", '"year" is of type int', "make it text or text[]"),
        ("Sound", "Sound.default", "fields", "red", "audioFields", "leave it out, or take another module"),
        ("ClassName", "ClassName.default", "vectorize-class-name", "yellow", '"ClassName"', "vectorizeClassName"),
        ("BlobAsText", "BlobAsText.default", "fields", "red", "the base64 of picture, clip", "properties"),
        ("Hashed", "Hashed", "blob-hash", "yellow", "ranked by photo", "--media-store"),
        ("Hashed", "Hashed", "blob-hash", "yellow", "PATCH", "send whole objects"),
        ("Hashed", "Hashed.default", "model", "yellow", "cannot be vectorized again", "--media-store"),
        ("OtherModel", "OtherModel.default", "model", "red", "not the loaded model's", "model and revision"),
        ("OtherSize", "OtherSize.default", "model", "red", "have 3 dimensions", "model and revision"),
        ("Bare", "Bare.title", "without-vector", "yellow", OBJECTS[0].uuid, "fill one of the properties"),
        (
            "Late",
            "Late.picture",
            "without-vector",
            "red",
            "7 of 7 objects without a vector",
            "REVECTORIZE_CHECK_DISABLED",
        ),
    ],
)
def test_a_planted_mistake_is_found_with_its_cure(
    checked: Any, name: str, about: str, check: str, level: str, says: str, cure: str
) -> None:
    status, found = checked(name)
    (finding,) = (each for each in found if (each["about"], each["check"]) == (about, check) and says in each["says"])
    assert finding["level"] == level
    assert cure in finding["cure"]
    assert "s3cret" not in json.dumps(found)
    assert status == int(any(each["level"] == "red" for each in found))


def test_all_collections_are_looked_at_and_nothing_is_written(
    planted: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(planted)
    assert run(arguments(planted)) == 1
    printed = capsys.readouterr().out
    assert everything(planted) == before
    assert all(name in printed for name in planted.client.collections.list_all())
    assert "\x1b" not in printed  # no terminal, no colours
    assert "   cure: " in printed


def everything(stack: Stack) -> object:
    """The schema, and the times of every object's last change."""
    classes = httpx.get(f"{stack.weaviate.url}/v1/schema").json()["classes"]
    schema = {each["class"]: each for each in classes}
    changed = MetadataQuery(last_update_time=True)
    times = {}
    for name in schema:
        found = stack.client.collections.use(name).query.fetch_objects(limit=100, return_metadata=changed)
        times[name] = {each.uuid: each.metadata.last_update_time for each in found.objects}
    assert sum(map(len, times.values())) > len(OBJECTS)
    return schema, times


def test_a_weaviate_that_asks_another_prism_is_not_compared(planted: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    with Prism(*FAKE, "--request-timeout", "70") as other:
        status = run([*arguments(planted, other), *only("Averaged"), "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    says = {(each["check"], each["level"]): each["says"] for each in found}
    assert "reaches another Prism" in says["modules", "yellow"]
    assert "within 70 s" in says["timeouts", "yellow"]
    assert not any(each["check"] == "model" for each in found)
    assert status == 0


def test_a_weaviate_that_refuses_private_addresses_is_told_by_what_its_modules_say(
    planted: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "ENABLE_MODULES": "multi2vec-clip",
        "CLIP_WAIT_FOR_STARTUP": "false",
        "MODULES_VALIDATE_BASE_URL": "true",
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": "k3y",
        "AUTHENTICATION_APIKEY_USERS": "checker",
    }
    with WeaviateServer(planted.prism.url, tmp_path, environment=variables) as weaviate:
        line = [*arguments(Stack(planted.prism, weaviate, planted.client)), "--json"]
        assert run(line) == 2
        assert "WEAVIATE_API_KEY" in capsys.readouterr().err
        monkeypatch.setenv("WEAVIATE_API_KEY", "k3y")
        assert run(line) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    (guard,) = (each for each in found if each["check"] == "validate-base-url")
    assert guard["level"] == "red"
    assert "unset MODULES_VALIDATE_BASE_URL" in guard["cure"]


def test_another_server_in_weaviates_place_is_named(planted: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    url = planted.prism.url
    assert run([*arguments(planted), "--weaviate", url]) == 2
    assert f"{url}/v1/meta (--weaviate) answers with 404: is this Weaviate?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--prism", "http://127.0.0.1:1"),
        ("--weaviate", "http://127.0.0.1:1"),
        ("--weaviate-grpc", "127.0.0.1:1"),
        ("--collection", "Nowhere"),
    ],
)
def test_what_cannot_be_reached_ends_with_status_2_and_its_flag(
    planted: Stack, capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    assert run([*arguments(planted), flag, value]) == 2
    assert f"({flag})" in capsys.readouterr().err
