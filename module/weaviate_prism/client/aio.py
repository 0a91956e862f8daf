"""The client whose verbs are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, overload

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt

from weaviate_prism.client.connection import TLS, Connection
from weaviate_prism.client.encoding import Encoding, Fusion
from weaviate_prism.client.failures import Attempts, rpc_error
from weaviate_prism.client.info import ServiceInfo, info_of
from weaviate_prism.client.inputs import Input, One, Pair
from weaviate_prism.client.scoring import PairScoring, Ranked, Ranking
from weaviate_prism.client.work import Chunk, Work
from weaviate_prism.errors import PrismError
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc


class AsyncPrismClient:
    """`PrismClient` for asyncio: the same verbs, awaited, in the event loop that calls the first of them.

    A verb that is cancelled cancels its calls, and the service drops their work.
    """

    def __init__(
        self,
        address: str = "localhost:8091",
        *,
        api_key: str = "",
        tls: TLS | Literal[False] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """See `PrismClient`."""
        self._connection = Connection(address, api_key, tls, timeout)
        self._credentials = self._connection.credentials()
        self._channel: grpc.aio.Channel | None = None
        self._methods: Mapping[type, grpc.aio.UnaryUnaryMultiCallable[Any, Any]] = {}
        self._known: ServiceInfo | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, and calls that are on their way."""
        if self._channel:
            await self._channel.close()

    async def encode_query(
        self,
        inputs: One | list[Any],
        *,
        prompt: str | None = None,
        dimensions: int | None = None,
        model: str | None = None,
        fusion: Fusion | None = None,
    ) -> npt.NDArray[np.float32]:
        """See `PrismClient.encode_query`."""
        work = Encoding(inputs, pb.TASK_QUERY, prompt=prompt, dimensions=dimensions, model=model, fusion=fusion)
        return await self._done(work)

    async def encode_document(
        self,
        inputs: One | list[Any],
        *,
        prompt: str | None = None,
        dimensions: int | None = None,
        model: str | None = None,
        fusion: Fusion | None = None,
    ) -> npt.NDArray[np.float32]:
        """See `PrismClient.encode_document`."""
        work = Encoding(inputs, pb.TASK_DOCUMENT, prompt=prompt, dimensions=dimensions, model=model, fusion=fusion)
        return await self._done(work)

    @overload
    async def predict(self, pairs: Pair, *, prompt: str | None = ..., model: str | None = ...) -> np.float32: ...

    @overload
    async def predict(
        self, pairs: list[Any], *, prompt: str | None = ..., model: str | None = ...
    ) -> npt.NDArray[np.float32]: ...

    async def predict(
        self, pairs: Pair | list[Any], *, prompt: str | None = None, model: str | None = None
    ) -> np.float32 | npt.NDArray[np.float32]:
        """See `PrismClient.predict`."""
        return await self._done(PairScoring(pairs, prompt=prompt, model=model))

    async def rank(
        self,
        query: Input,
        documents: Sequence[Input],
        *,
        top_k: int | None = None,
        return_documents: bool = False,
        prompt: str | None = None,
        model: str | None = None,
    ) -> list[Ranked]:
        """See `PrismClient.rank`."""
        work = Ranking(query, documents, prompt=prompt, model=model)
        return work.ranked(await self._done(work), top_k, return_documents=return_documents)

    async def info(self) -> ServiceInfo:
        """See `PrismClient.info`."""
        self._known = info_of(await self._answer(pb.InfoRequest(), self._connection.attempts()))
        return self._known

    async def _done(self, work: Work) -> npt.NDArray[np.float32]:
        chunks = work.chunks((self._known or await self.info()).limits)
        free = asyncio.Semaphore(work.calls)
        async with asyncio.TaskGroup() as group:
            while True:
                await free.acquire()
                # files are read and pictures encoded aside
                chunk = None if work.refused else await asyncio.to_thread(next, chunks, None)
                if chunk is None:
                    break
                group.create_task(self._send(work, chunk)).add_done_callback(lambda _: free.release())
        if work.refused:
            self._known = None  # the service may have started again with other limits
        return work.outcome()

    async def _send(self, work: Work, chunk: Chunk) -> None:
        attempts = self._connection.attempts()
        try:
            while chunk.items:
                chunk, busy = work.record(chunk, await self._answer(work.request(chunk), attempts))
                if busy:
                    await asyncio.sleep(attempts.pause(busy))
        except PrismError as error:
            work.refuse(chunk, error)

    async def _answer(self, request: Any, attempts: Attempts) -> Any:
        """
        Raises:
            PrismError: there is none.
        """
        self._connect()
        method = self._methods[type(request)]
        while True:
            try:
                return await method(request, timeout=attempts.remaining(), metadata=self._connection.metadata)
            except grpc.aio.AioRpcError as error:
                pause = attempts.pause(rpc_error(error))
            await asyncio.sleep(pause)

    def _connect(self) -> None:
        """Once; a channel belongs to the event loop that it is made in."""
        if self._channel:
            return
        address, options = self._connection.address, self._connection.options()
        self._channel = (
            grpc.aio.secure_channel(address, self._credentials, options)
            if self._credentials
            else grpc.aio.insecure_channel(address, options)
        )
        self._methods = {
            pb.VectorizeRequest: pb_grpc.VectorizerStub(self._channel).Vectorize,
            pb.RerankRequest: pb_grpc.RerankerStub(self._channel).Rerank,
            pb.InfoRequest: pb_grpc.ModuleStub(self._channel).Info,
        }
