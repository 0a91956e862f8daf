"""Info, health, reflection, limits, deadlines and cancellation of the gRPC door."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from contract.running import WAIT, InProcess, until
from contract.test_rpc_vectorize import data, item, refused, request, text
from weaviate_prism.models.base import Prepared
from weaviate_prism.models.fake import FakeEmbedder
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
    seen: list[int] = []
    cancelled = threading.Event()
    original = FakeEmbedder.forward

    def forward(model: FakeEmbedder, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        seen.append(len(batch))
        assert cancelled.wait(WAIT)
        return original(model, batch)

    with InProcess(batch_cost=64) as running:
        monkeypatch.setattr(FakeEmbedder, "forward", forward)
        stub = pb_grpc.VectorizerStub(running.channel)
        calls = [
            stub.Vectorize.future(request(*(item(text(f"{call} {number}")) for number in range(20))))
            for call in range(100)
        ]
        until(lambda: running.service.requests.in_flight == 100)
        for call in calls:
            call.cancel()
        until(lambda: running.metric("prism_requests_total", door="grpc Vectorize", outcome="cancelled") == 100)
        cancelled.set()
        stub.Vectorize(request(item(text("next")), task=pb.TASK_QUERY))
    assert sum(seen) <= 64  # what the model was at when the calls were cancelled, and the next one; not 2,000
