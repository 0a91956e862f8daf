"""The API key at both doors: who is let in, and that it is told nowhere."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import grpc
import httpx
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from contract.running import InProcess, Subprocess
from contract.test_rpc_server import health
from contract.test_rpc_vectorize import item, refused, request, text
from contract.test_vectorize import refused as refused_http
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

KEY = "k3y:with@odd/characters%"
BEARER = f"Bearer {KEY}"
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def locked() -> Iterator[InProcess]:
    with InProcess(api_key=KEY) as running:
        yield running


def url(running: InProcess, path: str, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{running.service.http_port}{path}"


@pytest.mark.parametrize("authorization", [None, "Bearer other", f"Bearer {KEY}x", KEY])
@pytest.mark.parametrize("method", ["Vectorizer/Vectorize", "Reranker/Rerank", "Module/Info", "Module/Unknown"])
def test_no_call_is_answered_without_the_key(locked: InProcess, method: str, authorization: str | None) -> None:
    metadata = (("authorization", authorization),) if authorization else None
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = locked.channel.unary_unary(f"/prism.v1.{method}")
    message = refused(lambda: call(b"\xff" * 100, metadata=metadata, timeout=10), Code.UNAUTHENTICATED)
    assert "Bearer KEY" in message
    assert KEY not in message


def test_calls_with_the_key_are_answered(locked: InProcess) -> None:
    metadata = (("authorization", BEARER),)
    assert pb_grpc.VectorizerStub(locked.channel).Vectorize(request(item(text("a"))), metadata=metadata).blocks
    assert pb_grpc.ModuleStub(locked.channel).Info(pb.InfoRequest(), metadata=metadata).ready


def test_reflection_asks_for_the_key(locked: InProcess) -> None:
    refused(ProtoReflectionDescriptorDatabase(locked.channel).get_services, Code.UNAUTHENTICATED)


def test_health_is_open_to_all(locked: InProcess) -> None:
    assert health(locked.channel, "prism.v1.Vectorizer") == HealthCheckResponse.SERVING
    watch: grpc.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse] = locked.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    call = watch(HealthCheckRequest())
    assert next(call).status == HealthCheckResponse.SERVING
    call.cancel()


@pytest.mark.parametrize("path", ["/.well-known/live", "/.well-known/ready", "//.well-known/ready/"])
def test_probes_need_no_key(locked: InProcess, path: str) -> None:
    assert locked.http.get(url(locked, path)).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/vectorize"),
        ("POST", "/rerank"),
        ("GET", "/meta"),
        ("HEAD", "/meta"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("GET", "/.well-known/"),
        ("GET", "/.well-known/ready/../../meta"),
        ("POST", "//vectorize/"),
    ],
)
def test_no_other_door_opens_without_the_key(locked: InProcess, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "Basic !"}):
        response = locked.http.request(method, url(locked, path), headers=headers, content=b'{"texts": ["a"]}')
        assert response.status_code == 401
        assert "Bearer" in response.headers["www-authenticate"]
        assert "Basic" in response.headers["www-authenticate"]
        if method != "HEAD":
            assert KEY not in refused_http(response, 401)


def test_doors_open_to_a_bearer_of_the_key(locked: InProcess) -> None:
    headers = {"authorization": BEARER}
    assert locked.http.post("/vectorize", json={"texts": ["a"]}, headers=headers).status_code == 200
    assert KEY not in locked.http.get("/meta", headers=headers).text
    metrics = locked.http.get("/metrics", headers=headers).text
    assert KEY not in metrics
    assert 'door="http *",outcome="unauthenticated"' in metrics
    assert "Unknown" not in metrics  # a caller's own words would be labels without end


def test_doors_open_to_the_key_in_the_url(locked: InProcess) -> None:
    """All that Weaviate's stock modules can send: HTTP clients make Basic of `http://user:KEY@host`."""
    user = f"prism:{KEY.replace('%', '%25').replace('@', '%40').replace('/', '%2F').replace(':', '%3A')}@"
    with httpx.Client() as client:
        sent = client.build_request("POST", url(locked, "/vectorize", user), json={"texts": ["a"]})
        response = client.send(sent, auth=httpx.USE_CLIENT_DEFAULT)
        assert response.status_code == 200
        basic = base64.b64encode(f"prism:{KEY}".encode()).decode()
        assert response.request.headers["authorization"] == f"Basic {basic}"
        assert client.get(url(locked, "/meta", "prism:other@")).status_code == 401


def test_the_key_is_not_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRISM_API_KEY", "s3cret")
    with Subprocess("--log-level", "debug") as running, running.loading() as http:
        running.wait_for(r": ready$")
        assert http.get("/meta").status_code == 401
        assert http.get("/meta", headers={"authorization": "Bearer s3cret"}).status_code == 200
        http.post("/vectorize", json={"texts": [1]}, headers={"authorization": "Bearer s3cret"})
        running.process.terminate()
        assert running.status() == 0
    assert not [line for line in running.log if "s3cret" in line]
