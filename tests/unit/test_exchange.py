"""What an HTTP request holds in memory while it waits for the model."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from starlette.requests import Request
from starlette.types import Message

from contract.running import until
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.metrics import Metrics
from weaviate_prism.server.requests import INLINE_BYTES, Requests
from weaviate_prism.server.rest.exchange import Contract, endpoint
from weaviate_prism.server.rest.inputs import Inputs
from weaviate_prism.values import Item, Text


def bytes_of_bodies() -> int:
    made = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/exchange.py")])
    return sum(trace.size for trace in made.traces)


@pytest.mark.parametrize("size", [INLINE_BYTES, 8_000_000])
async def test_the_body_is_dropped_and_no_longer_counted_once_it_is_read(size: int) -> None:
    engine = Engine(Settings(embedder="fake", reranker="none"))
    requests = Requests(Metrics())
    seen: list[int] = []

    def parse(body: bytes, settings: Settings) -> Inputs:
        assert engine._admission.bytes_in_flight == size
        return Inputs(items={"a": Item((Text("a" * 1000),))})

    async def answer(parsed: Inputs, engine: Engine, profile: str, deadline: float) -> bytes:
        until(lambda: bytes_of_bodies() < INLINE_BYTES)  # the thread that has read it may be about to let go of it
        seen.append(engine._admission.bytes_in_flight)
        return b"{}"

    async def receive() -> Message:
        if not sent:
            sent.append(True)
            return {"type": "http.request", "body": b"x" * size, "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    sent: list[bool] = []
    respond = endpoint(Contract(("/x",), (), parse, answer), engine, requests)
    scope = {"type": "http", "headers": [], "method": "POST", "path": "/x"}
    tracemalloc.start()
    try:
        await respond(Request(scope, receive))
    finally:
        tracemalloc.stop()
        engine.close()
    assert seen == [1000]
    assert engine._admission.bytes_in_flight == 0
