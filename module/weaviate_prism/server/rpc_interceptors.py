"""What every gRPC call passes before its service: the key is right, and the bytes are a message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from weaviate_prism.errors import InvalidInput, PrismError, Unauthenticated
from weaviate_prism.server.access import Access
from weaviate_prism.server.requests import run_sized
from weaviate_prism.server.rpc import Context, Door, metadatum, request_bytes

T = TypeVar("T")
# in quotes: generic for type checkers only
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

# Probes have no key, and learn nothing but whether the service answers.
OPEN = "/grpc.health.v1.Health/"


class AskForKey(grpc.aio.ServerInterceptor):
    """UNAUTHENTICATED for every method, known or not, that is called without the right key."""

    def __init__(self, door: Door, access: Access) -> None:
        self._door = door
        self._access = access

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        if not str(handler_call_details.method).startswith(OPEN):
            try:
                self._access.check(metadatum(handler_call_details.invocation_metadata, "authorization"))
            except Unauthenticated as error:
                return self._refusal(error)
        return await continuation(handler_call_details)

    def _refusal(self, error: Unauthenticated) -> Handler:
        async def refuse(requests: object, context: Context) -> None:
            await self._door.answered("*", context, fail(error))

        # whatever the method is: such a handler answers without reading the request, which may be large
        return grpc.stream_stream_rpc_method_handler(refuse)


class ParseRequests(grpc.aio.ServerInterceptor):
    """RESOURCE_EXHAUSTED where requests of too many bytes are in the service, as the HTTP doors count them, too.

    And INVALID_ARGUMENT for bytes that are no message; gRPC answers UNKNOWN and logs a traceback for each. gRPC would
    also parse and write messages on the event loop: of 30 MB, that took 50 ms in which nobody else was answered.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        # Any: the stubs know the handlers of the threaded server only
        answer: Any = handler.unary_unary
        parse: Any = handler.request_deserializer
        write: Any = handler.response_serializer
        name = str(handler_call_details.method).rpartition("/")[2]

        async def parsed(data: bytes, context: Context) -> Any:
            engine = self._door.engine
            with engine.bytes_held() as held:
                try:
                    held.resize(len(data))
                    request_bytes.set(len(data))
                    request = await run_sized(engine, self._door.deadline(context), len(data), message, parse, data)
                except PrismError as error:
                    return await self._door.answered(name, context, fail(error))
                del data  # the message has a copy
                return await answer(request, context)

        def written(response: Any) -> bytes:
            return response if isinstance(response, bytes) else write(response)

        return grpc.unary_unary_rpc_method_handler(parsed, response_serializer=written)


def message(parse: Callable[[bytes], T], data: bytes) -> T:
    """
    Raises:
        InvalidInput
    """
    try:
        return parse(data)
    except DecodeError:
        raise InvalidInput("the bytes are not a message of this call") from None


async def fail(error: PrismError) -> NoReturn:
    raise error
