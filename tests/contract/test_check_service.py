"""How `prism check` asks a real Prism."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest

from contract.running import InProcess
from weaviate_prism.check.reaching import CheckError, answers
from weaviate_prism.check.service import RefusedError, Service
from weaviate_prism.v1 import prism_pb2 as pb

KEY = "k3y"
TEXT = [pb.Part(field="title", text="a star")]


def test_a_key_opens_both_doors() -> None:
    with InProcess(api_key=KEY) as running:
        url = str(running.http.base_url)
        with pytest.raises(CheckError, match="PRISM_API_KEY"), Service(url, running.grpc_address, "wrong"):
            pass
        with Service(url, running.grpc_address, KEY) as service:
            assert service.key == KEY
            assert service.probe()[0]
            (vector,) = service.stock("", {"texts": ["a star"]})["textVectors"]
            made = service.vector(pb.Target(fields=["title"]), TEXT, "Film")
            assert made.tolist() == pytest.approx(vector, abs=1e-6)


def test_a_key_that_nobody_asks_for_is_none() -> None:
    with InProcess() as running, Service(str(running.http.base_url), running.grpc_address, KEY) as service:
        assert service.key == ""


def test_what_prism_refuses_is_told_in_its_words() -> None:
    with InProcess() as running, Service(str(running.http.base_url), running.grpc_address, "") as service:
        with pytest.raises(RefusedError, match="'gone' is not known") as refused:
            service.vector(pb.Target(model="gone"), TEXT, "Film")
        assert refused.value.model
        with pytest.raises(RefusedError, match="no content") as refused:
            service.vector(pb.Target(), [pb.Part(field="title")], "Film")
        assert not refused.value.model
        with pytest.raises(RefusedError, match=r"images\[0\]"):
            service.stock("", {"images": ["no picture"]})


def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    path = tmp_path / "prism.sock"
    with (
        InProcess(grpc_socket=str(path)) as running,
        Service(str(running.http.base_url), f"unix://{path}", "") as service,
    ):
        assert len(service.vector(pb.Target(), TEXT, "Film"))


def test_another_server_is_told_from_prism(tmp_path: Path) -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"model": "openai/clip"}')

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(CheckError, match="is not Prism"), Service(url, "127.0.0.1:1", ""):
            pass
        server.shutdown()


def test_a_grpc_server_is_there_or_not() -> None:
    with InProcess(api_key=KEY) as running:
        assert answers(running.grpc_address, tls=False)
    assert not answers("127.0.0.1:1", tls=False)
