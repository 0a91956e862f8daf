"""The gRPC door: prism.v1 in front of the engine. Translating is in `rpc_messages.py`, serving in `rpc_server.py`."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

import grpc
import grpc.aio

from weaviate_prism import errors
from weaviate_prism.aside import aside
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine, check_rows
from weaviate_prism.errors import InvalidInput, PrismError
from weaviate_prism.intake import check_count
from weaviate_prism.server import rpc_messages as messages
from weaviate_prism.server.requests import INLINE_VECTORS, Requests, run_sized
from weaviate_prism.tracing import shown, traced
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc
from weaviate_prism.values import LOWEST_SCORE, Item, Target, Vector

log = logging.getLogger(__name__)

T = TypeVar("T")
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

API_VERSION = 1

# Of the call at hand, as it came. Protobuf's own ByteSize writes the message anew to count it: 17 ms for 10 MB.
request_bytes: ContextVar[int] = ContextVar("request_bytes", default=0)

CODES: Mapping[type[PrismError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.TooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Internal: grpc.StatusCode.INTERNAL,
}

# The message travels in a header, three characters for each byte that is not ASCII, and gRPC accepts 8 KiB of headers.
MESSAGE_BYTES = 2000


class Door:
    """What every call shares: counting, the trace, the deadline, and one status per kind of error."""

    def __init__(self, engine: Engine, requests: Requests) -> None:
        self.engine = engine
        self.requests = requests

    async def answered(
        self, name: str, context: Context, work: Awaitable[T], collection: str = "", tenant: str = ""
    ) -> T:
        """The result of `work`; a `PrismError` ends the call with its code."""
        try:
            traceparent = metadatum(context.invocation_metadata(), "traceparent")
            with traced(traceparent, collection, tenant), self.requests.one(f"grpc {name}"):
                return await work
        except PrismError as error:
            message = error.message.encode(errors="replace")[:MESSAGE_BYTES].decode(errors="ignore")
            return await context.abort(CODES[type(error)], message)

    def deadline(self, context: Context) -> float:
        """When the caller stops waiting, in the time of `time.monotonic()`."""
        remaining = context.time_remaining()
        if remaining is None:  # the stubs forget callers without a deadline
            remaining = self.engine.settings.request_timeout
        return time.monotonic() + remaining


class Vectorizer(pb_grpc.VectorizerServicer):
    """prism.v1.Vectorizer"""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def Vectorize(self, request: pb.VectorizeRequest, context: Context) -> Any:
        """A VectorizeResponse, written already."""
        work = self._vectorize(request, self._door.deadline(context))
        return await self._door.answered("Vectorize", context, work, request.collection, request.tenant)

    async def _vectorize(self, request: pb.VectorizeRequest, deadline: float) -> bytes:
        engine = self._door.engine
        task, priority = messages.task(request.task)
        if not request.items:
            raise InvalidInput("items: at least one is needed")
        check_rows(len(request.items), len(request.targets), engine.settings)
        targets, items = await run_sized(
            engine, deadline, request_bytes.get(), targets_and_items, request, engine.settings
        )
        results = await engine.vectorize(
            items, task=task, targets=list(targets.values()), priority=priority, deadline=deadline
        )
        return await aside(
            len(items) * len(targets), written_vectors, targets, request.items, results, inline=INLINE_VECTORS
        )


class Reranker(pb_grpc.RerankerServicer):
    """prism.v1.Reranker"""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def Rerank(self, request: pb.RerankRequest, context: Context) -> pb.RerankResponse:
        work = self._rerank(request, self._door.deadline(context))
        return await self._door.answered("Rerank", context, work, request.collection, request.tenant)

    async def _rerank(self, request: pb.RerankRequest, deadline: float) -> pb.RerankResponse:
        engine = self._door.engine
        if not request.documents:
            raise InvalidInput("documents: at least one is needed")
        check_count(len(request.documents), engine.settings)
        query, *documents = await run_sized(
            engine, deadline, request_bytes.get(), query_and_documents, request, engine.settings
        )
        if isinstance(query, PrismError):
            raise query.about("query")
        results = await engine.rerank(
            query, documents, model=request.model, instruction=request.instruction, deadline=deadline
        )
        scores = [LOWEST_SCORE if isinstance(result, PrismError) else result for result in results]
        errors = item_errors(range(len(results)), results)
        response = pb.RerankResponse(scores=scores, errors=errors, keeps_media=engine.keeps_media(request.model))
        log_errors(response.errors, request.documents)
        return response


class Module(pb_grpc.ModuleServicer):
    """prism.v1.Module"""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def Info(self, request: pb.InfoRequest, context: Context) -> pb.InfoResponse:
        return await self._door.answered("Info", context, self._info())

    async def _info(self) -> pb.InfoResponse:
        return messages.info(self._door.engine.info(), API_VERSION)


def targets_and_items(
    request: pb.VectorizeRequest, settings: Settings
) -> tuple[dict[str, Target], list[Item | PrismError]]:
    """
    Raises:
        TooLarge: they have too many parts or positions.
        InvalidInput, Unsupported: a target is wrong; name the field.
    """
    check_parts(request.items, settings)
    check_targets(request.targets, settings)
    return messages.targets(request), messages.items(request.items)


def query_and_documents(request: pb.RerankRequest, settings: Settings) -> list[Item | PrismError]:
    """
    Raises:
        TooLarge: they have too many parts.
    """
    both = [request.query, *request.documents]
    check_parts(both, settings)
    return messages.items(both)


def written_vectors(
    targets: Mapping[str, Target], items: Sequence[pb.Item], results: Sequence[Sequence[Vector | PrismError]]
) -> bytes:
    """A VectorizeResponse; its errors are logged."""
    errors = [
        error
        for (name, target), of_target in zip(targets.items(), results, strict=True)
        for error in item_errors(target.items or range(len(items)), of_target, name)
    ]
    log_errors(errors, items)
    return messages.vectors(targets, len(items), results, errors).SerializeToString()


def check_parts(items: Sequence[pb.Item], settings: Settings) -> None:
    """Of items of which there are not too many: 100 MB hold 50 million empty parts.

    Raises:
        TooLarge
    """
    check_count(sum(len(item.parts) for item in items), settings, "parts")


def check_targets(targets: Sequence[pb.Target], settings: Settings) -> None:
    """
    Raises:
        TooLarge: all of them together name too much.
    """
    check_count(sum(len(target.items) for target in targets), settings, "positions of items in its targets")
    check_count(sum(len(target.fields) for target in targets), settings, "fields in its targets")
    check_count(sum(len(target.weights) for target in targets), settings, "weights in its targets")


def item_errors(
    positions: Iterable[int], results: Sequence[Vector | float | PrismError], target: str = ""
) -> list[pb.ItemError]:
    """Those of the results that are errors, with their items' positions in the request."""
    return [
        pb.ItemError(index=position, message=result.message, code=code_number(result), target=target)
        for position, result in zip(positions, results, strict=True)
        if isinstance(result, PrismError)
    ]


def log_errors(errors: Sequence[pb.ItemError], items: Sequence[pb.Item]) -> None:
    """One line for a request: its first error stands for all."""
    if errors:
        first = errors[0]
        name = f" {shown(items[first.index].id)}" if items[first.index].id else ""
        log.info("%d item errors; the first is of item %d%s: %s", len(errors), first.index, name, first.message)


def metadatum(metadata: Iterable[tuple[str, str | bytes]] | None, name: str) -> str:
    """The first value of that name in a call's metadata; empty if there is none."""
    return next((value for key, value in metadata or () if key == name and isinstance(value, str)), "")


def code_number(error: PrismError) -> int:
    """The google.rpc.Code, which is what gRPC's own status codes are numbered by."""
    number: int = CODES[type(error)].value[0]
    return number
