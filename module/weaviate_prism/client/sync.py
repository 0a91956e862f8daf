"""The client whose verbs return when they are done."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Literal, Self, overload

import grpc
import numpy as np
import numpy.typing as npt

from weaviate_prism.client.connection import TLS, Connection
from weaviate_prism.client.encoding import Encoding, Fusion
from weaviate_prism.client.failures import Attempts, rpc_error
from weaviate_prism.client.info import ServiceInfo, info_of
from weaviate_prism.client.inputs import Input, One, Pair
from weaviate_prism.client.scoring import PAIR_CALLS, PairScoring, Ranked, Ranking
from weaviate_prism.client.work import Chunk, Work
from weaviate_prism.errors import PrismError
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc


class PrismClient:
    """Speaks to a running Prism. Thread-safe.

    Every verb may raise, besides what it says itself:
        ItemsFailed: some of several inputs failed; has the results of the others.
        PrismError: nothing was answered, or the only input failed: InvalidInput, Unauthenticated, NotFound, ...
    """

    def __init__(
        self,
        address: str = "localhost:8091",
        *,
        api_key: str = "",
        tls: TLS | Literal[False] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Connects with the first call.

        Args:
            address: host:port of the gRPC door, or unix:///path.
            api_key: the service's `--api-key`.
            tls: how to encrypt. None is not to, and to keep a key from the network; False sends it there all the same.
            timeout: seconds that a call may take, also while the service restarts or is full. A verb with many
                inputs makes several calls.

        Raises:
            ValueError: an argument is wrong.
            OSError: a file of `tls` cannot be read.
        """
        self._connection = Connection(address, api_key, tls, timeout)
        credentials, options = self._connection.credentials(), self._connection.options()
        self._channel = (
            grpc.secure_channel(address, credentials, options)
            if credentials
            else grpc.insecure_channel(address, options)
        )
        self._methods: Mapping[type, grpc.UnaryUnaryMultiCallable[Any, Any]] = {
            pb.VectorizeRequest: pb_grpc.VectorizerStub(self._channel).Vectorize,
            pb.RerankRequest: pb_grpc.RerankerStub(self._channel).Rerank,
            pb.InfoRequest: pb_grpc.ModuleStub(self._channel).Info,
        }
        self._threads = ThreadPoolExecutor(PAIR_CALLS, "prism-client")
        self._known: ServiceInfo | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and calls that are on their way."""
        self._channel.close()
        self._threads.shutdown()

    def encode_query(
        self,
        inputs: One | list[Any],
        *,
        prompt: str | None = None,
        dimensions: int | None = None,
        model: str | None = None,
        fusion: Fusion | None = None,
    ) -> npt.NDArray[np.float32]:
        """Vectors of what is searched for.

        Args:
            inputs: one, or a list of `Input`s. In a list, a tuple is one input of several parts.
            prompt: instead of the profile's or the model's own.
            dimensions: to cut vectors to; they are normalised again.
            model: the profile or model to use instead of the default, by name. One that the service loads on demand
                may take longer than the timeout the first time.
            fusion: whether the model reads the parts of an input together, or their vectors are averaged; None is
                the profile's, else joint where the model can.

        Returns:
            float32 [n, dimensions], each of L2 norm 1; [dimensions] for one input that is not in a list.

        Raises:
            TypeError: a bare tuple, which may be meant as one input or as several.
        """
        work = Encoding(inputs, pb.TASK_QUERY, prompt=prompt, dimensions=dimensions, model=model, fusion=fusion)
        return self._done(work)

    def encode_document(
        self,
        inputs: One | list[Any],
        *,
        prompt: str | None = None,
        dimensions: int | None = None,
        model: str | None = None,
        fusion: Fusion | None = None,
    ) -> npt.NDArray[np.float32]:
        """Vectors of what is searched; else as `encode_query`."""
        work = Encoding(inputs, pb.TASK_DOCUMENT, prompt=prompt, dimensions=dimensions, model=model, fusion=fusion)
        return self._done(work)

    @overload
    def predict(self, pairs: Pair, *, prompt: str | None = ..., model: str | None = ...) -> np.float32: ...

    @overload
    def predict(
        self, pairs: list[Any], *, prompt: str | None = ..., model: str | None = ...
    ) -> npt.NDArray[np.float32]: ...

    def predict(
        self, pairs: Pair | list[Any], *, prompt: str | None = None, model: str | None = None
    ) -> np.float32 | npt.NDArray[np.float32]:
        """Scores of pairs of a query and a document.

        Args:
            pairs: one, or a list of `Pair`s.
            prompt, model: as in `encode_query`.

        Returns:
            float32 [n] in the order of the pairs, higher is better; a number for one pair that is not in a list.

        Raises:
            TypeError: a bare tuple of tuples, which may be meant as one pair or as several.
        """
        return self._done(PairScoring(pairs, prompt=prompt, model=model))

    def rank(
        self,
        query: Input,
        documents: Sequence[Input],
        *,
        top_k: int | None = None,
        return_documents: bool = False,
        prompt: str | None = None,
        model: str | None = None,
    ) -> list[Ranked]:
        """Documents by their scores, the best first.

        Args:
            query: one input; a tuple is one of several parts.
            top_k: how many to return; None for all.
            return_documents: whether to have each document in `text`.
            prompt, model: as in `encode_query`.
        """
        work = Ranking(query, documents, prompt=prompt, model=model)
        return work.ranked(self._done(work), top_k, return_documents=return_documents)

    def info(self) -> ServiceInfo:
        """The service's models, profiles and limits."""
        with _Calls() as calls:
            self._known = info_of(self._answer(pb.InfoRequest(), self._connection.attempts(), calls))
        return self._known

    def _done(self, work: Work) -> npt.NDArray[np.float32]:
        limits = (self._known or self.info()).limits
        sending: set[Future[None]] = set()
        with _Calls() as calls:
            for chunk in work.chunks(limits):
                if len(sending) == work.calls:
                    done, sending = wait(sending, return_when=FIRST_COMPLETED)
                    _check(done)
                if work.refused:
                    break
                sending.add(self._threads.submit(self._send, work, chunk, calls))
            _check(wait(sending).done)
        if work.refused:
            self._known = None  # the service may have started again with other limits
        return work.outcome()

    def _send(self, work: Work, chunk: Chunk, calls: _Calls) -> None:
        attempts = self._connection.attempts()
        try:
            while chunk.items:
                chunk, busy = work.record(chunk, self._answer(work.request(chunk), attempts, calls))
                if busy:
                    calls.pause(attempts.pause(busy))
        except PrismError as error:
            work.refuse(chunk, error)

    def _answer(self, request: Any, attempts: Attempts, calls: _Calls) -> Any:
        """
        Raises:
            PrismError: there is none.
        """
        while True:
            with calls.one(
                self._methods[type(request)].future(
                    request, timeout=attempts.remaining(), metadata=self._connection.metadata
                )
            ) as call:
                try:
                    return call.result()
                except grpc.RpcError as error:
                    pause = attempts.pause(rpc_error(error))
            calls.pause(pause)


class _Calls:
    """Those that are on their way for one verb; cancelled when it ends by an exception, such as KeyboardInterrupt."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Any] = set()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._over.set()
            running = list(self._running)
        for call in running:
            call.cancel()

    @contextlib.contextmanager
    def one(self, call: Any) -> Iterator[Any]:
        with self._lock:
            self._running.add(call)
        try:
            if self._over.is_set():
                call.cancel()
            yield call
        finally:
            with self._lock:
                self._running.discard(call)

    def pause(self, seconds: float) -> None:
        """
        Raises:
            FutureCancelledError: the verb has ended.
        """
        if self._over.wait(seconds):
            raise grpc.FutureCancelledError


def _check(done: set[Future[None]]) -> None:
    """Raises what `_send` did not expect."""
    for future in done:
        future.result()
