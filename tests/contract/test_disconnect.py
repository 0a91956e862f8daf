"""Clients that leave, stall, or close half of the connection."""

from __future__ import annotations

import json
import socket
import time

import pytest

from contract.running import InProcess, until
from contract.test_vectorize import post


def head(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def connect(running: InProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.service.http_port), timeout=20)


@pytest.mark.parametrize("path", ["/vectorize", "/rerank"])
def test_100_clients_that_leave_cost_the_next_one_nothing(path: str) -> None:
    """What they asked for would take 20 s, in batches of 1 s; one of these is running when they leave."""
    with InProcess(embedder="fake:1000,0", reranker="fake:1000,0", batch_cost=320) as running:
        clients = []
        for number in range(100):
            texts = [f"{number} {i}" for i in range(20)]
            wanted = {"texts": texts} if path == "/vectorize" else {"query": "q", "documents": texts}
            body = json.dumps(wanted).encode()
            client = connect(running)
            client.sendall(head(path, len(body)) + body)
            clients.append(client)
        until(lambda: running.service.requests.in_flight == 100)
        for client in clients:
            client.close()
        began = time.monotonic()
        assert post(running.http, texts=["next"]).status_code == 200
        assert running.http.post("/rerank", json={"query": "q", "documents": ["next"]}).status_code == 200
        assert time.monotonic() - began < 5
        until(lambda: running.metric("prism_requests_total", door=f"http {path}", outcome="cancelled") == 100)


def test_clients_that_leave_in_the_middle_of_the_body_are_forgotten(service: InProcess) -> None:
    before = service.metric("prism_requests_total", door="http /vectorize", outcome="cancelled")
    for _ in range(100):
        with connect(service) as client:
            client.sendall(head("/vectorize", 1000) + b'{"texts":["a')
    until(
        lambda: (
            service.metric("prism_requests_total", door="http /vectorize", outcome="cancelled") == before + 100
            and service.service.requests.in_flight == 0
        )
    )
    assert post(service.http, texts=["a"]).status_code == 200


def test_a_slow_body_is_awaited_and_holds_nobody_up(service: InProcess) -> None:
    body = b'{"texts":["a"]}'
    with connect(service) as client:
        client.sendall(head("/vectorize", len(body)))
        for byte in body:
            assert post(service.http, texts=["b"]).status_code == 200
            client.sendall(bytes([byte]))
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_a_body_that_never_ends_is_given_up() -> None:
    with InProcess(request_timeout=0.3) as running, connect(running) as client:
        client.sendall(head("/vectorize", 1000) + b"{")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("sent", [b"", b"POST /vectorize HTT", head("/vectorize", 100), head("/vectorize", 1)[:-2]])
def test_a_half_closed_connection_is_closed(service: InProcess, sent: bytes) -> None:
    with connect(service) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    assert post(service.http, texts=["a"]).status_code == 200
