"""How the Python clients reach the service: restarts, deadlines, cancelled verbs, TLS, the key, the unix socket."""

from __future__ import annotations

import asyncio
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from contract.clients import OPENERS, Open
from contract.running import WAIT, InProcess, held_up, until
from contract.test_rpc_ports import NAME, Pair
from servers import Prism
from weaviate_prism import catalog, errors
from weaviate_prism.client import TLS, AsyncPrismClient, PrismClient
from weaviate_prism.client.failures import KINDS
from weaviate_prism.models.registry import load_model
from weaviate_prism.server.rpc import CODES
from weaviate_prism.weaviate.server import free_ports

SLOW = "fake:0,2"
TEXTS = [f"text {number}" for number in range(1200)]
KEY = "s3cret"


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Open:
    return OPENERS[request.param]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pair, Pair]:
    """The authority, the service's certificate and the client's."""
    folder = tmp_path_factory.mktemp("tls")
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    return ca, Pair.issued(authority, folder, NAME), Pair.issued(authority, folder, "client.test")


@pytest.fixture(scope="module")
def locked(files: tuple[Path, Pair, Pair]) -> Iterator[InProcess]:
    """With TLS, certificates of clients, and a key."""
    ca, pair, _ = files
    with InProcess(api_key=KEY, tls_cert=str(pair.cert), tls_key=str(pair.key), tls_client_ca=str(ca)) as running:
        yield running


def test_every_kind_of_error_arrives_as_it_was_sent() -> None:
    """Too large is told from invalid by no code."""
    arrived = {kind: KINDS[code] for kind, code in CODES.items()}
    assert arrived == {kind: kind for kind in CODES} | {errors.TooLarge: errors.InvalidInput}


def test_the_key_and_tls_let_a_client_in(opened: Open, locked: InProcess, files: tuple[Path, Pair, Pair]) -> None:
    ca, _, own = files
    tls = TLS(ca=ca, cert=own.cert, key=own.key, server_name=NAME)
    with opened(locked.grpc_address, api_key=KEY, tls=tls) as prism:
        assert prism.encode_query("a").shape == (32,)
    with opened(locked.grpc_address, api_key="other", tls=tls) as prism:
        with pytest.raises(errors.Unauthenticated, match="key"):
            prism.encode_query("a")
        with pytest.raises(errors.Unauthenticated):
            prism.info()


def test_a_service_that_cannot_be_trusted_is_not_spoken_to(
    opened: Open, locked: InProcess, files: tuple[Path, Pair, Pair], tmp_path: Path
) -> None:
    ca, _, own = files
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    for tls in (
        TLS(ca=stranger, cert=own.cert, key=own.key, server_name=NAME),
        TLS(ca=ca, cert=own.cert, key=own.key, server_name="other.test"),
        TLS(ca=ca, server_name=NAME),
        False,
    ):
        with (
            opened(locked.grpc_address, api_key=KEY, tls=tls, timeout=0.5) as prism,
            pytest.raises((errors.Unavailable, errors.DeadlineExceeded), match=locked.grpc_address),
        ):
            prism.info()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"address": "prism"}, "address"),
        ({"address": "http://prism:8091"}, "address"),
        ({"address": "unix:prism.sock"}, "address"),
        ({"address": "prism:8091", "api_key": "x"}, "api_key: would cross the network in the clear"),
        ({"address": "localhost:8091", "api_key": "a b"}, "api_key: must be printable"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
    ],
)
def test_arguments_that_are_wrong_are_named(options: dict[str, Any], named: str) -> None:
    for client in (PrismClient, AsyncPrismClient):
        with pytest.raises(ValueError, match=named) as raised:
            client(**options)
        assert "a b" not in str(raised.value)
    with pytest.raises(ValueError, match="cert and key"):
        TLS(cert=Path("a"))


def test_a_key_is_shown_to_this_machine_and_where_it_is_said_to_be_safe() -> None:
    for address in ("localhost:1", "127.0.0.1:1", "[::1]:1", "unix:///tmp/prism"):
        PrismClient(address, api_key=KEY).close()
    PrismClient("prism:8091", api_key=KEY, tls=False).close()
    PrismClient("prism:8091", api_key=KEY, tls=TLS()).close()


def test_the_unix_socket_is_spoken_to(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "prism.sock"
    with InProcess(grpc_socket=str(path)), opened(f"unix://{path}") as prism:
        assert prism.encode_query("a").shape == (32,)


def test_a_restart_in_the_middle_is_waited_for() -> None:
    """Nothing is lost, whether the service is killed, is not there, or loads its models."""
    flags = ("--embedder", SLOW, "--reranker", "fake", "--cache-bytes", "0")
    with Prism(*flags) as service, ExitStack() as stack, ThreadPoolExecutor(len(OPENERS)) as threads:
        clients = [stack.enter_context(opened(service.grpc_address)) for opened in OPENERS.values()]
        before = [clients[0].encode_document(TEXTS[position]) for position in (0, 600, 1199)]
        vectors = [threads.submit(client.encode_document, TEXTS) for client in clients]
        until(lambda: service.metric("prism_queue_depth") > 0)
        service.kill()
        assert not any(each.done() for each in vectors)
        service.start()
        for each, client in zip(vectors, clients, strict=True):
            np.testing.assert_array_equal(each.result()[[0, 600, 1199]], before)
            assert [each["corpus_id"] for each in client.rank("a", ["b", "a"])] == [1, 0]


def test_a_service_that_loads_its_models_is_waited_for(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads until it has refused the client."""
    running = InProcess(grpc_port=free_ports(1)[0])

    def load(*args: Any) -> Any:
        until(lambda: requests(running, "unavailable") > 0)
        return load_model(*args)

    monkeypatch.setattr(catalog, "load_model", load)
    with opened(f"127.0.0.1:{running.settings.grpc_port}") as prism, ThreadPoolExecutor(1) as threads:
        vector = threads.submit(prism.encode_query, "a")
        with running:
            assert vector.result(WAIT).shape == (32,)


def test_a_service_that_is_not_there_is_named_with_the_cause(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with opened(address, timeout=0.5) as prism, pytest.raises(errors.Unavailable) as raised:
        prism.encode_query("a")
    assert raised.value.message.startswith(f"no answer from {address} within 0.5 s: ")
    assert "refused" in raised.value.message


def test_a_service_without_room_is_named_as_what_refused(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess(max_queue=2) as running, opened(running.grpc_address, timeout=2) as prism:
        free, _ = held_up(monkeypatch)
        with PrismClient(running.grpc_address) as other, ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(other.encode_document, TEXTS[:2])
            until(lambda: running.service.requests.in_flight == 1)
            with pytest.raises(errors.Overloaded, match=rf"^refused by {running.grpc_address} for 2 s: .*max_queue"):
                prism.encode_query("a")
            free.set()
            assert len(waiting.result(WAIT)) == 2


def test_the_http_port_is_told_at_once(opened: Open) -> None:
    with (
        InProcess() as running,
        opened(f"127.0.0.1:{running.service.http_port}") as prism,
        pytest.raises(errors.Unavailable, match=r"speaks HTTP/1, not gRPC: .*the gRPC port, 8091"),
    ):
        prism.encode_query("a")


def test_the_port_is_doubted_where_nothing_greets(opened: Open) -> None:
    """gRPC waits 2 s for a greeting."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        opened(f"127.0.0.1:{silent.getsockname()[1]}", timeout=2.5) as prism,
        pytest.raises(errors.Unavailable, match=r"^no answer from .*the gRPC port, 8091"),
    ):
        prism.info()


def test_an_answer_that_takes_too_long_is_given_up(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either side may find out first."""
    with InProcess() as running, opened(running.grpc_address, timeout=0.5) as prism:
        free, _ = held_up(monkeypatch)
        with pytest.raises(errors.DeadlineExceeded, match=r"within 0\.5 s|deadline"):
            prism.encode_query("a")
        free.set()


def requests(running: InProcess, outcome: str) -> float:
    return running.metric("prism_requests_total", door="grpc Vectorize", outcome=outcome)


async def test_a_cancelled_verb_cancels_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess() as running:
        free, _ = held_up(monkeypatch)
        async with AsyncPrismClient(running.grpc_address) as prism:
            task = asyncio.create_task(prism.encode_document(TEXTS))
            await asyncio.to_thread(until, lambda: running.service.requests.in_flight > 0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(until, lambda: requests(running, "cancelled") > 0)
            free.set()
            assert (await prism.encode_query("a")).shape == (32,)


INTERRUPTED = """
import sys
from weaviate_prism.client import PrismClient
with PrismClient(sys.argv[1]) as prism:
    try:
        prism.encode_document([f"text {number}" for number in range(1200)])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    sys.stdin.read()
    print(prism.encode_query("a").shape)
"""


def test_an_interrupted_verb_cancels_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, whose connection lasts: the verb itself cancels them, not its end."""
    with InProcess() as running:
        free, batches = held_up(monkeypatch)
        command = [sys.executable, "-c", INTERRUPTED, running.grpc_address]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            until(lambda: bool(batches))
            assert answer_to_interrupt(process) == "interrupted\n"
            until(lambda: requests(running, "cancelled") > 0)
            free.set()
            assert process.communicate(timeout=WAIT)[0] == "(32,)\n"
        finally:
            free.set()
            process.kill()
            process.communicate()


def answer_to_interrupt(process: subprocess.Popen[str]) -> str:
    """A line. Python loses a KeyboardInterrupt that it raises in a destructor or a weakref's callback."""
    assert process.stdout
    while True:
        process.send_signal(signal.SIGINT)
        if select.select([process.stdout], [], [], 5)[0]:
            return process.stdout.readline()


async def test_many_verbs_at_once_share_a_client() -> None:
    with InProcess() as running:
        async with AsyncPrismClient(running.grpc_address) as prism:
            many = await asyncio.gather(*(prism.encode_query(text) for text in TEXTS[:50]))
            np.testing.assert_array_equal(np.stack(many), await prism.encode_query(TEXTS[:50]))
        with PrismClient(running.grpc_address) as plain, ThreadPoolExecutor(50) as threads:
            np.testing.assert_array_equal(np.stack(list(threads.map(plain.encode_query, TEXTS[:50]))), np.stack(many))
