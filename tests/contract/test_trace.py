"""The trace id of a call is in the log lines that it brings about, whatever thread writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from contract.running import Subprocess
from contract.test_rpc_vectorize import item, refused, request, text
from weaviate_prism.models import fake
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

PARENT = "00f067aa0ba902b7"


def header(number: int) -> tuple[str, str]:
    """A trace id, and the header that names it."""
    trace = f"{number:032x}"
    return trace, f"00-{trace}-{PARENT}-01"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Subprocess, httpx.Client, grpc.Channel]]:
    with (
        Subprocess("--rerank-bad-document", "last") as process,
        process.ready() as http,
        process.channel() as channel,
    ):
        yield process, http, channel


def test_a_line_of_the_device_thread_names_the_trace_of_a_grpc_call(
    running: tuple[Subprocess, httpx.Client, grpc.Channel],
) -> None:
    process, _, channel = running
    trace, traceparent = header(0xA)
    other, _ = header(0xB)
    stub = pb_grpc.VectorizerStub(channel)
    response = stub.Vectorize(request(item(text(fake.FAIL))), metadata=(("traceparent", traceparent),))
    assert len(response.errors) == 1
    process.wait_for(rf"ERROR .*embedder failed trace={trace}$")
    stub.Vectorize(request(item(text(fake.NAN))), metadata=(("traceparent", other + "-nonsense"),))
    assert not [line for line in process.log if other in line]


def test_a_line_of_the_event_loop_names_the_trace_of_a_grpc_call(
    running: tuple[Subprocess, httpx.Client, grpc.Channel],
) -> None:
    process, _, channel = running
    trace, traceparent = header(0xC)
    ask = pb.RerankRequest(query=item(text("q")), documents=[item(pb.Part(data=b"neither"))])
    pb_grpc.RerankerStub(channel).Rerank(ask, metadata=(("traceparent", traceparent),))
    process.wait_for(rf"ranked last; .* trace={trace}$")
    pb_grpc.RerankerStub(channel).Rerank(ask)
    process.wait_for(r"ranked last; .*known format$")


def test_a_line_names_the_trace_of_a_request_over_http(
    running: tuple[Subprocess, httpx.Client, grpc.Channel],
) -> None:
    process, http, _ = running
    trace, traceparent = header(0xD)
    http.post("/vectorize", json={"texts": [fake.FAIL]}, headers={"traceparent": traceparent})
    process.wait_for(rf"ERROR .*embedder failed trace={trace}$")


def test_lines_of_item_errors_name_the_item_collection_and_tenant(
    running: tuple[Subprocess, httpx.Client, grpc.Channel],
) -> None:
    process, _, channel = running
    bad = pb.Item(id="b9f6\n2026", parts=[pb.Part(data=b"neither")])
    names: dict[str, Any] = {"collection": "Scene", "tenant": "north"}
    stub = pb_grpc.VectorizerStub(channel)
    stub.Vectorize(pb.VectorizeRequest(task=pb.TASK_DOCUMENT, items=[item(text("a")), bad, bad], **names))
    where = "collection='Scene' tenant='north'"
    process.wait_for(rf"INFO .*: 2 item errors; the first is of item 1 'b9f6\\n2026': parts\[0\]: .* {where}$")
    pb_grpc.RerankerStub(channel).Rerank(pb.RerankRequest(query=item(text("q")), documents=[bad], **names))
    process.wait_for(rf"WARNING .*: 1 of 1 documents ranked last; the first is 0 'b9f6\\n2026': .* {where}$")


@pytest.mark.parametrize("traceparent", [header(0xE)[1], "nonsense" * 300])
def test_a_trace_changes_no_answer(running: tuple[Subprocess, httpx.Client, grpc.Channel], traceparent: str) -> None:
    stub = pb_grpc.VectorizerStub(running[2])
    metadata = (("traceparent", traceparent),)
    assert stub.Vectorize(request(item(text("a"))), metadata=metadata) == stub.Vectorize(request(item(text("a"))))
    refused(lambda: stub.Vectorize(request(), metadata=metadata), grpc.StatusCode.INVALID_ARGUMENT)
