"""No file is opened and nothing is fetched because a client sent a string."""

from __future__ import annotations

import signal
from pathlib import Path

from contract.running import Subprocess
from contract.samples import b64, clip, picture
from contract.test_rpc_vectorize import data, item, request, text
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc


def test_strings_are_never_opened_as_paths_or_addresses(tmp_path: Path) -> None:
    file = tmp_path / "secret.png"
    file.write_bytes(picture())
    names = [str(file), file.as_uri(), "http://127.0.0.1:1/x.png", "https://example.org/x.mp4", "s3://bucket/x", "."]
    audited = str(Path(__file__).with_name("audited.py"))
    with Subprocess(program=(audited,)) as running, running.ready() as http:
        # once for what libraries load on first use
        warm = {"texts": ["a"], "images": [b64(picture())], "video": [b64(clip())]}
        assert http.post("/vectorize", json=warm).status_code == 200
        assert http.post("/vectorize", json={"images": ["AAAA"]}).status_code == 400
        first = len(running.log)
        for name in names:
            assert http.post("/vectorize", json={"texts": [name]}).status_code == 200
            assert http.post("/vectorize", json={"images": [name]}).status_code == 400
            assert http.post("/vectorize", json={"video": [name]}).status_code == 400
            assert http.post("/rerank", json={"query": name, "documents": [name, "a"]}).status_code == 200
            http.post("/rerank", json={"query": "q", "documents": [f"data:image/png;base64,{name}"]})
            assert http.post("/vectors", json={"id": name, "image": name}).status_code == 400
            for kind in ("image_base64", "video_base64", "image_url"):
                content = {"type": kind, kind: name}
                body = {"inputs": [{"content": [content]}], "model": name}
                assert http.post("/v1/multimodalembeddings", json=body).status_code in (400, 404)
            assert http.post(f"/p/{name}/vectorize", json={"texts": ["a"]}).status_code == 404
        with running.channel() as channel:
            for name in names:
                targets = [pb.Target(instruction=name)]
                answer = pb_grpc.VectorizerStub(channel).Vectorize(
                    request(item(text(name)), item(data(name.encode())), targets=targets)
                )
                assert [error.index for error in answer.errors] == [1]
        running.send(signal.SIGTERM)
        assert running.status() == 0
        running.wait_for("end of log")
        assert [line for line in running.log[first:] if line.startswith("AUDIT")] == []
