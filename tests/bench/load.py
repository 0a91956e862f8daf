"""Prepared requests, so many at once, with less than a millisecond of this process's CPU time for each."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

import grpc
import msgspec
import pybase64

from servers import Content
from weaviate_prism.v1 import prism_pb2 as pb

Send: TypeAlias = Callable[[bytes], Awaitable[bytes]]
# Of so many connections, or calls at once on one: each takes one request after the other.
Door: TypeAlias = Callable[[int], AbstractAsyncContextManager[list[Send]]]

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
LARGEST_ANSWER = 64 << 20
VECTORIZE = "/prism.v1.Vectorizer/Vectorize"


class Refused(Exception):
    """Answered with another status than 200."""


# -- doors ---------------------------------------------------------------------------------------


def http(url: str) -> Door:
    """Takes whole requests, as `post` makes them, on connections that stay open."""
    address = urlsplit(url)

    @asynccontextmanager
    async def connect(count: int) -> AsyncIterator[list[Send]]:
        async with AsyncExitStack() as stack:
            sends = []
            for _ in range(count):
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
                stack.callback(writer.close)
                sends.append(_exchange(reader, writer))
            yield sends

    return connect


def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Send:
    async def send(request: bytes) -> bytes:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length, head
        body = await reader.readexactly(int(length[1]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise Refused(body.decode())
        return body

    return send


def rpc(address: str, method: str = VECTORIZE) -> Door:
    """Takes serialized messages, all on one channel."""

    @asynccontextmanager
    async def connect(count: int) -> AsyncIterator[list[Send]]:
        options = [("grpc.max_receive_message_length", LARGEST_ANSWER)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            yield [call] * count

    return connect


# -- requests ------------------------------------------------------------------------------------


def post(path: str, body: object) -> bytes:
    """A whole HTTP request."""
    content = msgspec.json.encode(body)
    return f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(content)}\r\n".encode() + (
        b"Content-Type: application/json\r\n\r\n" + content
    )


def b64(data: bytes) -> str:
    return pybase64.b64encode_as_string(data)


def http_object(content: Content, kind: str) -> bytes:
    """One object of one text, picture or clip, as multi2vec-bind sends it; `kind` is its list's name."""
    return post("/vectorize", {kind: [content if isinstance(content, str) else b64(content)]})


def rpc_object(content: Content) -> bytes:
    """The same, as multi2vec-prism sends it; the kind is recognised."""
    part = pb.Part(text=content) if isinstance(content, str) else pb.Part(data=content)
    request = pb.VectorizeRequest(task=pb.TASK_DOCUMENT, targets=[pb.Target()], items=[pb.Item(parts=[part])])
    return request.SerializeToString()


# -- runs ----------------------------------------------------------------------------------------


def drive(door: Door, requests: Sequence[bytes], at_once: int) -> list[float]:
    """Sends all; the seconds of each, in order of the answers."""

    async def run() -> list[float]:
        async with door(at_once) as sends:
            waiting = iter(requests)
            return list(itertools.chain(*await asyncio.gather(*(_answered(send, waiting) for send in sends))))

    return asyncio.run(run())


async def _answered(send: Send, requests: Iterator[bytes]) -> list[float]:
    durations = []
    for request in requests:
        began = time.perf_counter()
        await send(request)
        durations.append(time.perf_counter() - began)
    return durations


@dataclass
class Behind:
    """Seconds until each query was answered or refused, how many were refused, and what became of the bulk work."""

    durations: list[float] = field(default_factory=list)
    refused: int = 0
    bulk: Counter[str] = field(default_factory=Counter)


def drive_behind(door: Door, queries: Iterable[bytes], bulk: Iterator[bytes], at_once: int) -> Behind:
    """Sends queries one after another while others send bulk work, whose connections then close."""

    async def run() -> Behind:
        behind = Behind()
        busy = asyncio.Event()

        async def work(send: Send) -> None:
            for request in bulk:
                behind.bulk["answered" if await accepted(send, request) else "refused"] += 1
                busy.set()

        async with door(at_once + 1) as (query, *sends):
            working = [asyncio.create_task(work(send)) for send in sends]
            await busy.wait()  # all are on their way, and the first is back
            for request in queries:
                began = time.perf_counter()
                behind.refused += not await accepted(query, request)
                behind.durations.append(time.perf_counter() - began)
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        return behind

    return asyncio.run(run())


async def accepted(send: Send, request: bytes) -> bool:
    """Whether it was answered with what it asked for."""
    try:
        await send(request)
    except Refused:
        return False
    return True
