"""Finding, downloading, building and running Weaviate, with small scripts in place of Go and of the server."""

from __future__ import annotations

import functools
import http.server
import json
import os
import socket
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from weaviate_prism.weaviate import binary, server
from weaviate_prism.weaviate.binary import WeaviateError
from weaviate_prism.weaviate.server import WeaviateServer, native_modules

embedded = pytest.importorskip("weaviate.embedded", reason="weaviate-client is not installed")

PYTHON = sys.executable

FAKE_GO = """
import json, os, sys
from pathlib import Path
if sys.argv[1:] == ["version"]:
    print("go version {version} linux/amd64")
else:
    target = Path(os.environ["GOBIN"], "weaviate-server")
    target.write_text(json.dumps([sys.argv[1:], os.environ["CGO_ENABLED"]]))
    target.chmod(0o755)
"""

FAILING_GO = """
import sys
if sys.argv[1:] == ["version"]:
    print("go version go1.26.8 linux/amd64")
else:
    sys.exit("go: no such module")
"""

# Answers every GET, tells its variables, and logs its end, as the real one would.
FAKE_WEAVIATE = """
import http.server, json, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(os.environ)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
def end(*_):
    print("ended well", file=sys.stderr, flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{PYTHON}\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, an empty PATH, and no Go in Python's environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "environment" / "python"))
    return tmp_path / "cache"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """An HTTP server on a folder, for the release and for Prism."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    (tmp_path / "web").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.fixture
def no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release address at which nothing listens."""
    (port,) = server.free_ports(1)
    monkeypatch.setattr(embedded, "GITHUB_RELEASE_DOWNLOAD_URL", f"http://127.0.0.1:{port}/")


def test_cached_executable_is_the_one_that_weaviate_client_finds() -> None:
    path = script(binary.cached_path(), "")
    folder = str(binary.cache_folder())
    client = embedded.EmbeddedV4(
        embedded.EmbeddedOptions(version=binary.VERSION, binary_path=folder, persistence_data_path=folder)
    )
    client.ensure_weaviate_binary_exists()
    assert client._weaviate_binary_path == path == binary.ensure_binary()


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")  # weaviate-client's tarfile
def test_release_is_downloaded_by_weaviate_client(web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "GITHUB_RELEASE_DOWNLOAD_URL", f"{web}/")
    folder = tmp_path / "web" / f"v{binary.VERSION}"
    executable = script(tmp_path / "weaviate", "# released")
    folder.mkdir()
    release = embedded.EmbeddedV4(
        embedded.EmbeddedOptions(version=binary.VERSION, binary_path=str(tmp_path), persistence_data_path=str(tmp_path))
    )
    with tarfile.open(folder / release._download_url.rpartition("/")[2], "w:gz") as archive:
        archive.add(executable, "weaviate")

    told: list[str] = []
    assert binary.ensure_binary(told.append).read_text().endswith("# released")
    assert os.access(binary.cached_path(), os.X_OK)
    assert "download" in told[0]
    assert list(binary.cache_folder().iterdir()) == [binary.cached_path()]


@pytest.mark.usefixtures("no_release")
def test_without_release_it_is_built_with_go(tmp_path: Path) -> None:
    script(tmp_path / "bin" / "go", FAKE_GO.format(version="go1.21.0"))
    arguments, cgo = json.loads(binary.ensure_binary().read_text())
    assert arguments == [
        "install",
        "-trimpath",
        "-ldflags",
        "-s -w",
        f"github.com/weaviate/weaviate/cmd/weaviate-server@v{binary.VERSION}",
    ]
    assert cgo == "0"
    assert list(binary.cache_folder().iterdir()) == [binary.cached_path()]


def test_release_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bin" / "go", FAKE_GO.format(version="go1.26.8"))
    monkeypatch.setattr(binary, "PROBE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(embedded, "GITHUB_RELEASE_DOWNLOAD_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        started = time.monotonic()
        binary.ensure_binary()
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("no_release")
def test_go_of_pythons_environment_is_taken_first(tmp_path: Path) -> None:
    script(tmp_path / "bin" / "go", FAKE_GO.format(version="go1.19.8"))
    script(tmp_path / "environment" / "go", FAKE_GO.format(version="go1.26.6"))
    assert binary.ensure_binary().exists()


@pytest.mark.usefixtures("no_release")
@pytest.mark.parametrize(
    ("go", "reason"),
    [
        (None, "Go is not installed"),
        (FAKE_GO.format(version="go1.20.3"), "is too old, 'go version go1.20.3"),
        (FAILING_GO, "go: no such module"),
    ],
)
def test_error_names_all_three_ways(go: str | None, reason: str, tmp_path: Path) -> None:
    if go:
        script(tmp_path / "bin" / "go", go)
    with pytest.raises(WeaviateError, match=reason) as raised:
        binary.ensure_binary()
    assert all(word in str(raised.value) for word in ("cache:", "download:", "build:", str(binary.cached_path())))
    assert not list(binary.cache_folder().iterdir())


@pytest.fixture
def prism(web: str, tmp_path: Path) -> str:
    """Something that answers where Prism would say that it is ready."""
    (tmp_path / "web" / ".well-known").mkdir()
    (tmp_path / "web" / ".well-known" / "ready").touch()
    return web


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    return script(tmp_path / "fake-weaviate", FAKE_WEAVIATE)


def test_server_is_ready_inside_and_gone_after(prism: str, fake: Path, tmp_path: Path) -> None:
    with WeaviateServer(prism, tmp_path / "data", binary=fake) as weaviate:
        assert server.answers(weaviate.url)
    assert not server.answers(weaviate.url)
    assert weaviate.log.read_text().endswith("ended well\n")
    weaviate.stop()


def test_stopped_server_starts_again_at_the_same_address(prism: str, fake: Path, tmp_path: Path) -> None:
    with WeaviateServer(prism, tmp_path / "data", binary=fake) as weaviate:
        weaviate.stop()
        assert not server.answers(weaviate.url)
        weaviate.start()
        assert server.answers(weaviate.url)


def test_servers_at_the_same_time_share_no_port(prism: str, fake: Path, tmp_path: Path) -> None:
    with (
        WeaviateServer(prism, tmp_path / "one", binary=fake) as one,
        WeaviateServer(prism, tmp_path / "two", binary=fake) as two,
    ):
        assert server.answers(one.url)
        assert server.answers(two.url)
        assert not ports(one) & ports(two)


def ports(weaviate: WeaviateServer) -> set[int]:
    given = {int(value) for key, value in weaviate.environment.items() if key.endswith("PORT")}
    return given | {weaviate.http_port}


def test_environment_points_at_prism_and_takes_additions() -> None:
    environment = WeaviateServer("http://prism:1", Path("data"), environment={"LOG_LEVEL": "debug"}).environment
    modules = ("BIND", "CLIP", "TRANSFORMERS", "IMAGE", "RERANKER")
    assert {environment[f"{module}_INFERENCE_API"] for module in modules} == {"http://prism:1"}
    assert environment["ENABLE_MODULES"].split(",") == list(server.STOCK_MODULES)
    assert all(environment[f"{module}_APIKEY"] for module in ("VOYAGEAI", "COHERE", "NVIDIA"))
    assert environment["LOG_LEVEL"] == "debug"


def test_key_in_prisms_address_is_shown_by_modules_that_send_one() -> None:
    variables = server.service("http://prism:a%40b%2Fc@host:1")
    assert {variables[f"{module}_APIKEY"] for module in ("VOYAGEAI", "COHERE", "NVIDIA")} == {"a@b/c"}
    assert variables["BIND_INFERENCE_API"] == "http://prism:a%40b%2Fc@host:1"


def test_native_modules_are_added_to_the_stock_ones() -> None:
    environment = WeaviateServer("http://prism:1", Path("data"), environment=native_modules("prism:2")).environment
    assert environment["ENABLE_MODULES"].split(",")[-2:] == ["multi2vec-prism", "reranker-prism"]
    assert environment["ENABLE_MODULES"].split(",")[:-2] == list(server.STOCK_MODULES)
    assert environment["PRISM_MODULE_ADDRESS"] == "prism:2"
    assert environment["CLIP_INFERENCE_API"] == "http://prism:1"


def test_variables_of_the_caller_do_not_reach_weaviate(
    prism: str, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORIGIN", "http://elsewhere")
    with (
        WeaviateServer(prism, tmp_path / "data", binary=fake) as weaviate,
        urllib.request.urlopen(weaviate.url) as answer,
    ):
        seen = json.load(answer)
        assert seen["GRPC_PORT"] == str(weaviate.grpc_port)
        assert "ORIGIN" not in seen


def test_failed_start_shows_the_end_of_the_log(prism: str, tmp_path: Path) -> None:
    broken = script(tmp_path / "broken", "import sys; sys.exit('no space left')")
    with pytest.raises(WeaviateError, match=r"(?s)status 1.*no space left"):
        WeaviateServer(prism, tmp_path / "data", binary=broken).start()


def test_start_without_prism_fails_at_once(fake: Path, tmp_path: Path) -> None:
    (port,) = server.free_ports(1)
    with pytest.raises(WeaviateError, match="Prism is not ready"):
        WeaviateServer(f"http://127.0.0.1:{port}", tmp_path / "data", binary=fake).start()


def test_interrupted_start_leaves_no_process(
    prism: str, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        assert weaviate._process is not None
        pids.append(weaviate._process.pid)
        raise KeyboardInterrupt

    pids: list[int] = []
    weaviate = WeaviateServer(prism, tmp_path / "data", binary=fake)
    monkeypatch.setattr(weaviate, "_wait_until_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weaviate.start()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
