"""One HTTP exchange with Weaviate: body in, JSON out, and the work dropped when the client leaves.

Knows nothing of what is asked: a `Contract` says how a body is read and answered.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from weaviate_prism.admission import Held
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import InvalidInput, PrismError, TooLarge
from weaviate_prism.intake import size_of
from weaviate_prism.server.requests import INLINE_BYTES, DisconnectError, Requests, first, run_sized
from weaviate_prism.server.rest.errors import error_body
from weaviate_prism.tracing import traced
from weaviate_prism.values import Item

# Where routes.py leaves the name that it found in the address.
PROFILE = "profile"

# How much of the caller's own words an error repeats.
LONGEST_KEY, MOST_KEYS = 50, 5

# Bodies come in and go out in pieces: 20 MB to be sent at once were copied twice on the event loop, in 20 ms.
PIECE_BYTES = 128 * 1024


class Parsed(Protocol):
    """What a body says."""

    def every(self) -> Iterable[Item | PrismError]:
        """All that the engine is to read."""

    def forget(self) -> None:
        """Lets go of all that; may run on any thread."""


S = TypeVar("S")
T = TypeVar("T", bound=Parsed)


@dataclass(frozen=True, slots=True)
class Contract(Generic[T]):
    """What is sent to one address, and expected from it, by stock modules of Weaviate or by other clients."""

    paths: tuple[str, ...]  # the first is the door's name in metrics
    modules: tuple[str, ...]  # of Weaviate, that ask here
    parse: Callable[[bytes, Settings], T]  # pure; may run on any thread
    answer: Callable[[T, Engine, str, float], Awaitable[bytes]]  # JSON; of profile and deadline, time.monotonic()
    failure: Callable[[str, int, Mapping[str, str] | None], Response] = error_body  # of message, status, headers
    note: str = ""  # for /meta


def endpoint(contract: Contract[Any], engine: Engine, requests: Requests) -> Callable[[Request], Awaitable[Response]]:
    """The POST handler of a contract."""

    async def respond(request: Request) -> Response:
        traceparent, profile = request.headers.get("traceparent", ""), request.scope.get(PROFILE, "")
        with traced(traceparent), requests.one(f"http {contract.paths[0]}"):
            deadline = time.monotonic() + engine.settings.request_timeout
            with engine.bytes_held() as held:
                # not held here as well: 30 MB of base64 need not wait in memory for the device
                working = work(await read_body(request, engine.settings, deadline, held), profile, deadline, held)
                answer = await first(working, disconnect(request.receive))
        return Answer(answer, media_type="application/json")

    async def work(body: list[bytearray], profile: str, deadline: float, held: Held) -> bytes:
        parsed, size = await run_sized(
            engine, deadline, sum(map(len, body)), parse_sized, contract, body, engine.settings
        )
        held.resize(min(size, held.size))
        try:
            return await contract.answer(parsed, engine, profile, deadline)
        finally:
            if size > INLINE_BYTES:  # to give back the room of 600 pictures, 30 MB, takes 3 ms
                asyncio.get_running_loop().run_in_executor(None, parsed.forget)

    return respond


class Answer(Response):
    """Sent in pieces, between which others have their turn."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body), PIECE_BYTES):
            if start:
                await asyncio.sleep(0)
            end = start + PIECE_BYTES
            await send({"type": "http.response.body", "body": body[start:end], "more_body": end < len(body)})


def parse_sized(contract: Contract[T], body: list[bytearray], settings: Settings) -> tuple[T, int]:
    """What the body says, and how many bytes that takes; its pieces are gone then."""
    whole = b"".join(body)
    body.clear()
    parsed = contract.parse(whole, settings)
    items = (item for item in parsed.every() if isinstance(item, Item))
    return parsed, sum(size_of(part) for item in items for part in item.parts)


async def read_body(request: Request, settings: Settings, deadline: float, held: Held) -> list[bytearray]:
    """The whole body in pieces, whatever its Content-Type.

    Whoever parses it puts them together: 40 MB that grew in one piece were moved so often that it took 25 ms.

    Raises:
        TooLarge: before anything is read where Content-Length tells.
        Overloaded: no room among the bodies of all requests.
        InvalidInput: the client takes longer to send it than its answer may take.
        DisconnectError: the client left.
    """
    limit = settings.max_request_bytes
    # uvicorn's parser lets nothing but digits through
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_large(limit)
    body, size, more = [bytearray()], 0, True
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise DisconnectError
                if len(body[-1]) >= PIECE_BYTES:
                    body.append(bytearray())
                body[-1] += (piece := message.get("body", b""))
                size += len(piece)
                held.resize(size)
                more = message.get("more_body", False)
                if size > limit:
                    raise too_large(limit)
    except TimeoutError:
        raise InvalidInput(f"the body took longer than {settings.request_timeout:g} s to arrive") from None
    return body


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes (max_request_bytes)")


async def disconnect(receive: Receive) -> NoReturn:
    """Waits until the client closes the connection.

    Raises:
        DisconnectError: it did.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    raise DisconnectError


def decode(decoder: msgspec.json.Decoder[S], body: bytes) -> S:
    """The body as the typed struct of `decoder`.

    Raises:
        InvalidInput: names the place where it differs.
    """
    try:
        return decoder.decode(body)
    except UnicodeDecodeError:
        raise InvalidInput("the body has a string that is not UTF-8") from None
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        place = path.strip("`.")
        raise InvalidInput(f"{place}: {what}" if place else f"the body: {what}{unknown_keys(decoder, body)}") from None
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None


def unknown_keys(decoder: msgspec.json.Decoder[Any], body: bytes) -> str:
    """What an error about a missing key should add: `; not known: "text"`. Unknown keys alone are no error."""
    try:
        keys = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).keys()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    unknown = [key for key in keys if key not in decoder.type.__struct_fields__]
    named = ", ".join(json.dumps(key[:LONGEST_KEY]) for key in unknown[:MOST_KEYS])
    return f"; not known: {named}" if unknown else ""
