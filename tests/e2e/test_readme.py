"""Every code block of the README runs as it stands, against a real Prism and a real Weaviate.

Only what no test machine has is replaced: models that would be downloaded by the bundled ones, the host
`prism` and default ports by where the servers of this test listen.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.running import Subprocess
from objects import vectors
from readme import BLOCKS, ROOT, block
from servers import BUNDLED, Prism, Stack
from weaviate_prism import config
from weaviate_prism.bundled.drawing import clip_mp4, picture_jpeg
from weaviate_prism.bundled.scenes import make_scenes
from weaviate_prism.weaviate.binary import ensure_binary
from weaviate_prism.weaviate.server import LOOPBACK, WeaviateServer, service

MAKE = block("make demo")
SERVE = block("prism serve")
ENVIRONMENT = block("BIND_INFERENCE_API=")
CURL = block("curl ")
MORE_ENVIRONMENT = block("VOYAGEAI_APIKEY=")
COLLECTIONS = [block("multi2vec_bind("), block('"Photo"'), block("multi2vec_voyageai("), block('"Poster"')]
SEARCH = block("films.query")
REVISION_FLAGS = ("--embedder-revision", "--reranker-revision")
PROFILES, JOINT = block("[profiles.films]"), block("[profiles.whole]")
CHECK = block("prism check ")
# Executed by native/test_readme.py
NATIVE = (
    "prism weaviate build  #",
    "PRISM_MODULE_ADDRESS=prism",
    "PERSISTENCE_DATA_PATH=",
    'module_name="multi2vec-prism"',
    "graphql_raw_query(",
    "def copy(",
)
# Executed by contract/test_client_readme.py
CLIENT = ("with PrismClient(", "AsyncPrismClient(")


def test_no_block_is_without_a_test() -> None:
    serving = (MAKE, SERVE, ENVIRONMENT, MORE_ENVIRONMENT, CURL, PROFILES, JOINT, CHECK)
    tested = (*serving, *COLLECTIONS, SEARCH, *map(block, (*NATIVE, *CLIENT)))
    assert [each for each in BLOCKS if each not in tested] == []


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Prism, and a Weaviate that knows of it by the README's variables alone."""
    ensure_binary()
    folder = tmp_path_factory.mktemp("readme")
    file = folder / "prism.toml"
    file.write_text(with_bundled(JOINT))
    with Prism(*BUNDLED, "--config", str(file)) as prism:
        weaviate = WeaviateServer(prism.url, folder / "weaviate")
        for name in service(prism.url):
            del weaviate.environment[name]
        lines = (ENVIRONMENT + MORE_ENVIRONMENT).replace("http://prism:8090", prism.url).splitlines()
        weaviate.environment |= dict(line.split("=", 1) for line in lines)
        with weaviate, weaviate.client() as client:
            yield Stack(prism, weaviate, client)


def test_python_configures_inserts_and_searches(configured: Stack) -> None:
    names: dict[str, object] = {"client": configured.client, "prism_url": configured.prism.url}
    for collection in COLLECTIONS:
        exec(compile(collection, "README.md", "exec"), names)
    for name in ("Film", "Short"):
        films = configured.client.collections.get(name)
        for scene, clip in zip(make_scenes(4, 1, kinds=("pair",)), make_scenes(4, 1, kinds=("clip",)), strict=True):
            media = {"still": picture_jpeg(scene), "trailer": clip_mp4(clip)}
            encoded = {name: base64.b64encode(data).decode() for name, data in media.items()}
            films.data.insert({"title": scene.caption, **encoded})
    photos = configured.client.collections.get("Photo")
    photos.data.insert({"caption": "a star"})
    posters = configured.client.collections.get("Poster")
    (scene,) = make_scenes(1, 1, kinds=("pair",))
    poster = picture_jpeg(scene)
    posters.data.insert({"caption": "a star", "poster": base64.b64encode(poster).decode()})
    (vector,) = vectors(posters).values()
    assert vector == pytest.approx(configured.prism.vector("a star", poster, model="whole"), abs=1e-6)
    for name in ("Film", "Short"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(SEARCH.replace('"Film"', f'"{name}"'), "README.md", "exec"), names)
        scores = [float(line.split()[0]) for line in printed.getvalue().splitlines()]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)


def test_prism_check_looks_at_both(configured: Stack) -> None:
    weaviate, prism = configured.weaviate, configured.prism
    places = {
        "http://localhost:8080": weaviate.url,
        "localhost:50051": f"{LOOPBACK}:{weaviate.grpc_port}",
        "http://localhost:8090": prism.url,
        "localhost:8091": prism.grpc_address,
    }
    line = CHECK.replace("\\\n", " ")
    for theirs, ours in places.items():
        line = line.replace(theirs, ours)
    program, *arguments = shlex.split(line)
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "multi2vec-bind is enabled and reaches this Prism" in done.stdout
    assert ", 0 red" in done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_a_vector_and_scores(configured: Stack) -> None:
    address = configured.prism.url.removeprefix("http://")
    vectors, scores = (json.loads(run(line)) for line in CURL.replace("localhost:8090", address).splitlines())
    assert [len(vectors[key]) for key in ("textVectors", "imageVectors", "videoVectors")] == [1, 0, 0]
    assert len(scores["scores"]) == 2


def run(line: str) -> str:
    return subprocess.run(shlex.split(line, comments=True), capture_output=True, text=True, check=True).stdout


def test_prism_serve_takes_its_flags_and_serves() -> None:
    program, command, *flags = shlex.split(SERVE.replace("\\\n", " "))
    assert (program, command) == ("prism", "serve")
    settings = config.parse_command(flags, {})
    hub = {settings.embedder: BUNDLED[1], settings.reranker: BUNDLED[3]}
    assert all("/" in name for name in hub)
    assert all(revision.startswith("refs/") for revision in (settings.embedder_revision, settings.reranker_revision))
    bundled = [hub.get(flag, flag) for flag in flags if flag not in REVISION_FLAGS and not flag.startswith("refs/")]
    with Subprocess(*bundled) as running, running.ready() as http:
        assert http.post("/vectorize", json={"texts": ["hello"]}).status_code == 200
        running.wait_for(rf"listening on http://{settings.host}:")


def test_prism_serve_takes_the_file_of_profiles(tmp_path: Path) -> None:
    file = tmp_path / "prism.toml"
    file.write_text(with_bundled(PROFILES))
    with Subprocess("--config", str(file), "--embedder", "", "--reranker", "") as running, running.ready() as http:
        assert http.post("/vectorize", json={"texts": ["hello"]}).status_code == 200
        profiles = {each["name"]: each for each in http.get("/meta").json()["profiles"]}
        assert list(profiles) == re.findall(r"^\[profiles\.(.*?)\]", PROFILES, re.MULTILINE)
        assert [name for name, profile in profiles.items() if profile["default"]] == ["films", "judge"]
        for name in profiles:
            running.wait_for(rf"profile {name}: (embedder|reranker) scenes-")


def with_bundled(profiles: str) -> str:
    profiles = re.sub(r"^revision = .*\n", "", profiles, flags=re.MULTILINE)
    for kind, bundled in (("embedder", "scenes-embedder"), ("reranker", "scenes-reranker")):
        profiles = re.sub(rf'^{kind} = "Qwen/.*"$', f'{kind} = "{bundled}"', profiles, flags=re.MULTILINE)
    return profiles


def test_make_has_the_targets() -> None:
    """They are only shown (`-n`): the one runs what test_demo.py runs, the other would run this test again."""
    demo, test = (run(line.replace("make", f"make -C {ROOT} -n", 1)) for line in MAKE.splitlines())
    assert ".venv/bin/prism demo" in demo.splitlines()
    assert ".venv/bin/pytest" in test.splitlines()
