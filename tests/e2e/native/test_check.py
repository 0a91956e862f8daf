"""`prism check` makes the vectors of native collections again as their configs have it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pytest
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.tenants import Tenant, TenantActivityStatus

from objects import PROPERTIES, prism_reranker, prism_vector, scene_objects
from servers import Prism, Stack
from weaviate_prism.check.command import run
from weaviate_prism.weaviate.server import LOOPBACK

OBJECTS = scene_objects(9, seed=91)
FIELDS: Mapping[str, Any] = {"textFields": ["title", "tags"], "imageFields": ["picture"], "videoFields": ["clip"]}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "plain": FIELDS,
    "short": {**FIELDS, "dimensions": 16},
    "instructed": {**FIELDS, "instruction": "Find the shapes that this shows."},
    "weighted": {
        **FIELDS,
        "fusion": "mean",
        "weights": {"textFields": [3, 1], "imageFields": [0.5], "videoFields": [2]},
    },
}
TAGS = Property(name="tags", data_type=DataType.TEXT_ARRAY)

Check: TypeAlias = Callable[..., tuple[int, list[dict[str, str]]]]


@pytest.fixture
def check(bundled: Stack, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the command on one collection and returns its status and what it found."""

    def checked(name: str, prism: Prism = bundled.prism, *more: str) -> tuple[int, list[dict[str, str]]]:
        weaviate = ["--weaviate", bundled.weaviate.url, "--weaviate-grpc", f"{LOOPBACK}:{bundled.weaviate.grpc_port}"]
        addresses = [*weaviate, "--prism", prism.url, "--prism-grpc", prism.grpc_address]
        status = run([*addresses, "--collection", name, "--json", *more])
        return status, json.loads(capsys.readouterr().out)["findings"]

    return checked


def test_a_healthy_native_collection_is_all_green(bundled: Stack, check: Check) -> None:
    collection = bundled.client.collections.create(
        "CheckedNative",
        properties=[*PROPERTIES, TAGS],
        vector_config=[prism_vector(name, **config) for name, config in CONFIGS.items()],
        reranker_config=prism_reranker(**FIELDS),
    )
    for each in OBJECTS[:-1]:
        collection.data.insert({**each.properties, "tags": ["a storm", "two red circles"]}, uuid=each.uuid)
    collection.data.insert({"title": "only a title"}, uuid=OBJECTS[-1].uuid)

    status, found = check("CheckedNative")
    assert [each for each in found if each["level"] != "green"] == []
    assert status == 0
    compared = {each["about"]: each["says"] for each in found if each["check"] == "model"}
    assert compared.keys() == {f"CheckedNative.{name}" for name in CONFIGS}
    assert all(says.startswith("8 objects vectorized again") for says in compared.values())
    modules = [each["says"] for each in found if each["check"] == "modules"]
    assert "multi2vec-prism is enabled and reaches this Prism" in modules
    assert "reranker-prism is enabled and reaches this Prism" in modules


def test_vectors_of_another_model_are_found_tenant_by_tenant(bundled: Stack, check: Check) -> None:
    collection = bundled.client.collections.create(
        "CheckedTenants",
        properties=PROPERTIES,
        vector_config=prism_vector(textFields=["title"], imageFields=["picture"]),
        multi_tenancy_config=Configure.multi_tenancy(enabled=True, auto_tenant_activation=True),
    )
    collection.tenants.create(["right", "wrong", "asleep"])
    other = bundled.prism.vector("something else")
    for each in OBJECTS[:3]:
        collection.with_tenant("right").data.insert(each.properties, uuid=each.uuid)
        collection.with_tenant("wrong").data.insert(each.properties, uuid=each.uuid, vector=other)
    collection.tenants.update([Tenant(name="asleep", activity_status=TenantActivityStatus.INACTIVE)])

    status, found = check("CheckedTenants")
    (model,) = (each for each in found if each["check"] == "model")
    assert (status, model["level"]) == (1, "red")
    assert "of 6 objects vectorized again" in model["says"]
    assert all(each.uuid in model["says"] for each in OBJECTS[:3])
    (bare,) = (each for each in found if each["check"] == "without-vector")
    assert "all of 6 objects of 2 of 3 tenants have a vector" in bare["says"]
    assert collection.tenants.get()["asleep"].activity_status is TenantActivityStatus.INACTIVE


def test_a_model_that_prism_has_not_is_named(bundled: Stack, check: Check) -> None:
    collection = bundled.client.collections.create(
        "CheckedModel", properties=PROPERTIES, vector_config=prism_vector(textFields=["title"], model="gone-embedder")
    )
    collection.data.insert({"title": "a star"}, vector=bundled.prism.vector("a star"))
    status, found = check("CheckedModel")
    (model,) = (each for each in found if each["check"] == "model")
    assert (status, model["level"]) == (1, "red")
    assert "gone-embedder" in model["says"]


def test_a_grpc_port_where_nobody_answers_is_named(bundled: Stack, check: Check) -> None:
    collection = bundled.client.collections.create(
        "CheckedPort", properties=PROPERTIES, vector_config=prism_vector(textFields=["title"])
    )
    collection.data.insert({"title": "a star"})
    status, found = check("CheckedPort", bundled.prism, "--prism-grpc", f"{LOOPBACK}:1")
    (model,) = (each for each in found if each["check"] == "model")
    assert (status, model["level"]) == (0, "yellow")
    assert "--prism-grpc" in model["says"]
