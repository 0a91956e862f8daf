"""Start, readiness, drain and exit status of the process."""

from __future__ import annotations

import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from contract.running import Subprocess, until
from contract.test_rpc_server import health
from contract.test_rpc_vectorize import item, request, text
from contract.test_vectorize import refused
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

# 20 s with 200 ms an item
LONG = {"texts": [str(number) for number in range(100)]}


def busy(http: httpx.Client) -> float:
    """How many items the embedder has been given."""
    counts = re.findall(r'^prism_items_total\{.*work="embedder"\} (\S+)$', http.get("/metrics").text, re.MULTILINE)
    return sum(float(count) for count in counts)


def test_the_doors_are_open_while_models_load_and_say_so() -> None:
    with Subprocess("--embedder", "fake:20000,0") as running:  # for its warm-up
        http = running.loading()
        with http, running.channel() as channel:
            assert http.get("/.well-known/live").status_code == 204
            assert "loading" in refused(http.get("/.well-known/ready"), 503)
            assert http.get("/meta").json()["ready"] is False
            assert health(channel, "") == HealthCheckResponse.NOT_SERVING
            assert not pb_grpc.ModuleStub(channel).Info(pb.InfoRequest()).ready
            began = time.monotonic()
            running.send(signal.SIGTERM)
            assert running.status() == 0
            assert time.monotonic() - began < 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_finishes_what_is_in_flight(number: signal.Signals) -> None:
    with (
        Subprocess("--embedder", "fake:1000,0") as running,
        running.ready() as http,
        running.channel() as channel,
        httpx.Client(base_url=http.base_url) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        stock = threads.submit(http.post, "/vectorize", json={"texts": ["a"]})
        native = threads.submit(pb_grpc.VectorizerStub(channel).Vectorize, request(item(text("b"))))
        until(lambda: busy(other) == 2)
        running.send(number)
        assert stock.result().status_code == 200
        assert native.result().blocks
        assert running.status() == 0
        with pytest.raises(httpx.ConnectError):
            other.get("/.well-known/ready")


def test_the_second_signal_cuts_what_is_in_flight() -> None:
    with Subprocess("--embedder", "fake:0,200") as running, running.ready() as http, ThreadPoolExecutor(1) as threads:
        stock = threads.submit(http.post, "/vectorize", json=LONG)
        with httpx.Client(base_url=http.base_url) as other:
            until(lambda: busy(other) == 100)
            running.send(signal.SIGTERM)
            until(lambda: refuses(running.http_port))
            running.send(signal.SIGTERM)
            assert running.status() == 1
        with pytest.raises(httpx.HTTPError):
            stock.result()


def test_a_drain_over_its_time_is_cut() -> None:
    flags = ("--embedder", "fake:0,200", "--drain-timeout", "0.5")
    with Subprocess(*flags) as running, running.ready() as http, ThreadPoolExecutor(1) as threads:
        stock = threads.submit(http.post, "/vectorize", json=LONG)
        with httpx.Client(base_url=http.base_url) as other:
            until(lambda: busy(other) == 100)
        running.send(signal.SIGTERM)
        assert running.status() == 1
        running.wait_for("drain_timeout")
        with pytest.raises(httpx.HTTPError):
            stock.result()


def test_an_idle_service_ends_at_once_with_0() -> None:
    with Subprocess() as running, running.ready() as http:
        assert http.get("/.well-known/ready").status_code == 204
        running.send(signal.SIGTERM)
        assert running.status() == 0
        running.wait_for(r": stopped\n\(end of log\)$")
        assert not [line for line in running.log if "Traceback" in line or "Warning" in line or "ERROR" in line]


def test_a_watcher_of_the_health_does_not_hold_the_end_up() -> None:
    with Subprocess() as running, running.ready(), running.channel() as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )(HealthCheckRequest())
        assert next(watch).status == HealthCheckResponse.SERVING
        running.send(signal.SIGTERM)
        assert next(watch).status == HealthCheckResponse.NOT_SERVING
        assert running.status() == 0


def test_a_model_that_does_not_load_ends_the_process_with_1() -> None:
    with Subprocess("--embedder", "fake:x") as running:
        assert running.status() == 1
        running.wait_for("could not be loaded: .fake:x.")


@pytest.mark.parametrize("flag", ["--http-port", "--grpc-port"])
def test_a_taken_port_is_named(flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"--http-port": "0", "--grpc-port": "0", flag: str(taken.getsockname()[1])}
        with Subprocess(*(word for pair in ports.items() for word in pair)) as running:
            assert running.status() == 1
            assert str(taken.getsockname()[1]) in running.wait_for("cannot start: .*").group()
            assert not [line for line in running.log if ".cc:" in line]  # gRPC adds no lines of its own


def refuses(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return False
    except OSError:
        return True
