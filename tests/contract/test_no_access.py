"""No file is opened and nothing is fetched because a client sent a string."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from contract.running import Subprocess, until
from contract.samples import b64, clip, picture
from contract.test_rpc_vectorize import data, item, request, text
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc


def test_strings_are_never_opened_as_paths_or_addresses(tmp_path: Path) -> None:
    file = tmp_path / "secret.png"
    file.write_bytes(picture())
    names = [str(file), file.as_uri(), "http://127.0.0.1:1/x.png", "https://example.org/x.mp4", "s3://bucket/x", "."]
    unknown = "ab" * 32
    audited = str(Path(__file__).with_name("audited.py"))
    with Subprocess("--media-store", str(tmp_path / "media"), program=(audited,)) as running, running.ready() as http:
        # once for what libraries load on first use
        warm = {"texts": ["a"], "images": [b64(picture())], "video": [b64(clip())]}
        assert http.post("/vectorize", json=warm).status_code == 200
        assert http.post("/vectorize", json={"images": ["AAAA"]}).status_code == 400
        until(lambda: "prism_media_store_items 2.0" in http.get("/metrics").text)
        assert http.post("/rerank", json={"query": "q", "documents": ["0" * 64]}).status_code == 200
        first = len(running.log)
        for name in names:
            assert http.post("/vectorize", json={"texts": [name]}).status_code == 200
            assert http.post("/vectorize", json={"images": [name]}).status_code == 400
            assert http.post("/vectorize", json={"video": [name]}).status_code == 400
            assert http.post("/rerank", json={"query": name, "documents": [name, "a"]}).status_code == 200
            http.post("/rerank", json={"query": "q", "documents": [f"data:image/png;base64,{name}"]})
            message = json.dumps({"text": name, "image": name})
            assert http.post("/rerank", json={"query": message, "documents": [message]}).status_code == 200
            assert http.post("/vectors", json={"id": name, "image": name}).status_code == 400
            for kind in ("image_base64", "video_base64", "image_url"):
                content = {"type": kind, kind: name}
                body = {"inputs": [{"content": [content]}], "model": name}
                assert http.post("/v1/multimodalembeddings", json=body).status_code in (400, 404)
            assert http.post(f"/p/{name}/vectorize", json={"texts": ["a"]}).status_code == 404
        assert http.post("/rerank", json={"query": unknown, "documents": [unknown]}).status_code == 200
        assert http.post("/vectorize", json={"images": [unknown]}).status_code == 422
        with running.channel() as channel:
            for name in names:
                unreadable = [data(name.encode()), pb.Part(digest=name), pb.Part(digest=unknown)]
                targets = [pb.Target(instruction=name)]
                items = [item(part) for part in (text(name), *unreadable)]
                answer = pb_grpc.VectorizerStub(channel).Vectorize(request(*items, targets=targets))
                assert [error.index for error in answer.errors] == [1, 2, 3]
        running.send(signal.SIGTERM)
        assert running.status() == 0
        running.wait_for("end of log")
        assert [line for line in running.log[first:] if line.startswith("AUDIT")] == []
