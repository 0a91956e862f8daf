"""The README's blocks about the native modules run as they stand, but for the address of Prism."""

from __future__ import annotations

import base64
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from weaviate.classes.config import DataType, Property

from objects import PROPERTIES as SCENE_PROPERTIES
from objects import averaged, import_all, prism_vector, scene_objects, vectors
from readme import block
from servers import BUNDLED, Prism, Stack, wait_until
from weaviate_prism.bundled.drawing import clip_mp4, picture_jpeg
from weaviate_prism.bundled.scenes import make_scenes
from weaviate_prism.weaviate.server import WeaviateServer, answers, free_ports, single_node

BUILD = block("prism weaviate build  #")
ENVIRONMENT = block("PRISM_MODULE_ADDRESS=prism")
BY_HAND = block("PERSISTENCE_DATA_PATH=")
COLLECTION = block('module_name="multi2vec-prism"')
SEARCH = block("graphql_raw_query(")
COPY = block("def copy(")


@pytest.fixture(scope="module")
def configured(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Prism, and a Weaviate that knows of it by the README's variables alone."""
    with Prism(*BUNDLED) as prism:
        lines = ENVIRONMENT.replace("prism:8091", prism.grpc_address).splitlines()
        variables = dict(line.split("=", 1) for line in lines)
        folder = tmp_path_factory.mktemp("readme")
        weaviate = WeaviateServer(prism.url, folder, binary=binary, environment=variables)
        with weaviate, weaviate.client() as client:
            yield Stack(prism, weaviate, client)


def test_the_build_prints_where_the_executable_is(binary: Path) -> None:
    program, *arguments = shlex.split(BUILD, comments=True)
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == str(binary)


def test_the_server_starts_by_hand(configured: Stack, tmp_path: Path) -> None:
    ports = free_ports(6)
    line = BY_HAND.replace("localhost:8091", configured.prism.grpc_address).replace("8080", str(ports[0]))
    line = line.replace("./weaviate-data", str(tmp_path))
    ours = {name: value for name, value in single_node(ports, tmp_path).items() if name not in line}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (tmp_path / "log").open("wb") as log:
        shell = subprocess.Popen(
            ["bash", "-c", line], env={**os.environ, **ours, "PATH": path}, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: shell.poll() is not None or answers(f"http://127.0.0.1:{ports[0]}/v1/.well-known/ready"))
        meta = httpx.get(f"http://127.0.0.1:{ports[0]}/v1/meta").json()
        assert {"multi2vec-prism", "reranker-prism"} <= meta["modules"].keys()
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait()


def test_a_collection_is_vectorized_and_reranked(configured: Stack) -> None:
    exec(compile(COLLECTION, "README.md", "exec"), {"client": configured.client})
    scenes = configured.client.collections.get("Scene")
    for drawn, filmed in zip(make_scenes(4, 1, kinds=("pair",)), make_scenes(4, 1, kinds=("clip",)), strict=True):
        media = {"still": picture_jpeg(drawn), "trailer": clip_mp4(filmed)}
        encoded = {name: base64.b64encode(data).decode() for name, data in media.items()}
        scenes.data.insert({"title": drawn.caption, **encoded})
    assert {len(vector) for vector in vectors(scenes, "looks").values()} == {32}
    lines = (
        SEARCH.rstrip()
        .replace("scenes.query", "by_grpc = scenes.query")
        .replace("client.graphql", "answer = client.graphql")
    )
    names: dict[str, Any] = {"client": configured.client}
    exec(compile(lines, "README.md", "exec"), names)
    assert len(names["by_grpc"].objects) == 4
    assert len(names["answer"].get["Scene"]) == 4


def test_objects_are_copied_from_one_way_to_the_other(bundled: Stack) -> None:
    objects = scene_objects(5, seed=71)
    stock = averaged(bundled.client, "ByStock")
    assert import_all(stock, objects) == {}
    native = bundled.client.collections.create(
        "ByNative", properties=SCENE_PROPERTIES, vector_config=prism_vector(imageFields=["picture"])
    )
    names: dict[str, object] = {"client": bundled.client}
    exec(compile(f"{COPY}\ncopy('ByStock', 'ByNative')", "README.md", "exec"), names)

    stored = vectors(native)
    assert stored.keys() == {each.uuid for each in objects}
    for each in objects:
        expected = bundled.prism.embed("images", each.properties["picture"])
        assert stored[each.uuid] == pytest.approx(expected, abs=1e-5)


def test_a_collection_whose_media_are_only_digests_is_not_copied(bundled: Stack) -> None:
    collections = bundled.client.collections
    properties = [Property(name="photo", data_type=DataType.BLOB_HASH)]
    for name in ("Hashed", "HashedAnew"):
        collections.create(name, properties=properties, vector_config=prism_vector(imageFields=["photo"]))
    collections.get("Hashed").data.insert({"photo": scene_objects(1, seed=72)[0].properties["picture"]})
    names: dict[str, object] = {"client": bundled.client}
    with pytest.raises(AssertionError, match=r"photo.*digest"):
        exec(compile(f"{COPY}\ncopy('Hashed', 'HashedAnew')", "README.md", "exec"), names)
    assert len(collections.get("HashedAnew")) == 0
