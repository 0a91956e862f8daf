"""Info, health, reflection, limits, deadlines and cancellation of the gRPC door."""

from __future__ import annotations

import time
from functools import partial

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from contract.running import WAIT, InProcess, held_up, until
from contract.test_rpc_vectorize import data, item, refused, request, text
from weaviate_prism.server import rpc_server
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

Code = grpc.StatusCode
SERVICES = ("prism.v1.Vectorizer", "prism.v1.Reranker", "prism.v1.Module")


def test_info_tells_models_and_limits(service: InProcess) -> None:
    info = pb_grpc.ModuleStub(service.channel).Info(pb.InfoRequest())
    assert info.api_version == 1
    assert info.version
    assert info.ready
    assert {model.kind for model in info.models} == {"embedder", "reranker"}
    embedder = next(model for model in info.models if model.kind == "embedder")
    assert pb.MODALITY_IMAGE in embedder.modalities
    assert embedder.joint
    assert embedder.dimensions > 0
    assert info.limits["max_request_bytes"] == 1_000_000


def health(channel: grpc.Channel, name: str) -> int:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    return check(HealthCheckRequest(service=name)).status


@pytest.mark.parametrize("name", ["", *SERVICES])
def test_every_service_has_its_health(service: InProcess, name: str) -> None:
    assert health(service.channel, name) == HealthCheckResponse.SERVING


def test_a_service_without_its_model_does_not_serve() -> None:
    with InProcess(reranker="none") as running:
        assert health(running.channel, "prism.v1.Vectorizer") == HealthCheckResponse.SERVING
        assert health(running.channel, "prism.v1.Reranker") == HealthCheckResponse.NOT_SERVING


def test_health_of_an_unknown_service_is_not_found(service: InProcess) -> None:
    refused(lambda: health(service.channel, "other"), Code.NOT_FOUND)


def test_reflection_describes_the_services(service: InProcess) -> None:
    database = ProtoReflectionDescriptorDatabase(service.channel)
    assert set(SERVICES) <= set(database.get_services())
    found = DescriptorPool(database).FindServiceByName("prism.v1.Vectorizer")
    assert [method.name for method in found.methods] == ["Vectorize"]


def test_a_message_over_the_limit_is_refused(vectorizer: pb_grpc.VectorizerStub) -> None:
    refused(lambda: vectorizer.Vectorize(request(item(data(b"\0" * 1_000_001)))), Code.RESOURCE_EXHAUSTED)


MANY = 200_000
EMPTY = pb.Item(parts=[pb.Part()] * MANY)
DOCUMENT = item(text("a"))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("Vectorizer/Vectorize", request(DOCUMENT, targets=[pb.Target(name=str(number)) for number in range(MANY)])),
        ("Vectorizer/Vectorize", request(DOCUMENT, targets=[pb.Target(items=range(MANY))])),
        ("Vectorizer/Vectorize", request(DOCUMENT, targets=[pb.Target(fields=["a"] * MANY)])),
        ("Vectorizer/Vectorize", request(DOCUMENT, targets=[pb.Target(weights=[1.0] * MANY)])),
        ("Vectorizer/Vectorize", request(item(*[text("a")] * MANY))),
        ("Vectorizer/Vectorize", request(EMPTY)),
        ("Reranker/Rerank", pb.RerankRequest(query=EMPTY, documents=[DOCUMENT])),
        ("Reranker/Rerank", pb.RerankRequest(query=DOCUMENT, documents=[DOCUMENT, EMPTY])),
        ("Reranker/Rerank", pb.RerankRequest(query=DOCUMENT, documents=[pb.Item()] * MANY)),
    ],
)
def test_too_many_of_anything_are_refused_before_a_look_and_hold_nobody_up(method: str, message: Message) -> None:
    with InProcess() as running:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = running.channel.unary_unary(f"/prism.v1.{method}")
        content = message.SerializeToString()
        began = time.process_time()  # of the service, too; not of what else runs on the machine
        answer = call.future(content, timeout=WAIT)
        while not answer.done():
            assert running.http.get("/.well-known/ready").status_code == 204
        assert "limit of 10000 (max_items)" in refused(answer.result, Code.INVALID_ARGUMENT)
        assert time.process_time() - began < 0.3


def test_messages_in_the_service_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as bodies at the HTTP doors, and with them."""
    with InProcess(max_queue_bytes=100_000) as running:
        free, _ = held_up(monkeypatch)
        stub = pb_grpc.VectorizerStub(running.channel)
        large = request(item(text("x" * 60_000)))
        first = stub.Vectorize.future(large)
        until(lambda: running.service.engine._admission.bytes_in_flight > 60_000)
        assert "max_queue_bytes" in refused(lambda: stub.Vectorize(large), Code.RESOURCE_EXHAUSTED)
        assert running.http.post("/vectorize", json={"texts": ["x" * 60_000]}).status_code == 429
        assert info(running).ready
        free.set()
        assert first.result().blocks
        until(lambda: running.service.engine._admission.bytes_in_flight == 0)
        assert stub.Vectorize(large).blocks


def test_calls_at_once_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "MOST_CALLS", 2)
    with InProcess() as running:
        free, _ = held_up(monkeypatch)
        stub = pb_grpc.VectorizerStub(running.channel)
        calls = [stub.Vectorize.future(request(item(text(str(number))))) for number in range(2)]
        until(lambda: running.service.requests.in_flight == 2)
        refused(lambda: info(running), Code.RESOURCE_EXHAUSTED)
        free.set()
        assert all(call.result().blocks for call in calls)


def info(running: InProcess) -> pb.InfoResponse:
    return pb_grpc.ModuleStub(running.channel).Info(pb.InfoRequest(), timeout=WAIT)


def test_garbage_is_refused_and_the_connection_lives(service: InProcess, vectorizer: pb_grpc.VectorizerStub) -> None:
    raw: grpc.UnaryUnaryMultiCallable[bytes, bytes] = service.channel.unary_unary("/prism.v1.Vectorizer/Vectorize")
    for garbage in (b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x2a\x04\x12\x02\x1a\x05"):
        refused(partial(raw, garbage, timeout=WAIT), Code.INVALID_ARGUMENT)
    assert vectorizer.Vectorize(request(item(text("a")))).blocks


def test_work_that_cannot_meet_its_deadline_ends_in_time() -> None:
    with InProcess(embedder="fake:1500,0") as running:
        stub = pb_grpc.VectorizerStub(running.channel)
        began = time.monotonic()
        call = stub.Vectorize.future(request(item(text("a"))), timeout=0.2)
        # both sides see the deadline at once: the call ends with it, or is answered with its item's error
        code = call.code().value[0] or call.result().errors[0].code
        assert code == Code.DEADLINE_EXCEEDED.value[0]
        assert time.monotonic() - began < 1.5


def test_a_cancelled_call_costs_the_next_one_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess(batch_cost=64) as running:
        cancelled, seen = held_up(monkeypatch)
        stub = pb_grpc.VectorizerStub(running.channel)
        idle = running.tasks()
        calls = [
            stub.Vectorize.future(request(*(item(text(f"{call} {number}")) for number in range(20))))
            for call in range(100)
        ]
        until(lambda: running.service.requests.in_flight == 100)
        for call in calls:
            call.cancel()
        until(lambda: running.metric("prism_requests_total", door="grpc Vectorize", outcome="cancelled") == 100)
        until(lambda: running.tasks() <= idle)  # work that equal requests could share ends a moment after them
        cancelled.set()
        stub.Vectorize(request(item(text("next")), task=pb.TASK_QUERY))
    assert sum(seen) <= 64  # what the model was at when the calls were cancelled, and the next one; not 2,000
