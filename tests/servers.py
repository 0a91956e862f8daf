"""Prism and a real Weaviate, each as the process that users start, for end-to-end tests and benchmarks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeAlias

import grpc
import httpx
import numpy as np
import numpy.typing as npt
from prometheus_client.parser import text_string_to_metric_families
from weaviate import WeaviateClient

from contract.running import WAIT, Subprocess
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc
from weaviate_prism.weaviate.binary import ensure_binary
from weaviate_prism.weaviate.native import ensure_native
from weaviate_prism.weaviate.server import LOOPBACK, WeaviateServer, free_ports, native_modules

# A part of an item: text, or the bytes of a picture or clip.
Content: TypeAlias = str | bytes

BUNDLED = ("--embedder", "scenes-embedder", "--reranker", "scenes-reranker")
FAKE = ("--embedder", "fake", "--reranker", "fake")
# 20 ms for every text: an import of 100 objects takes long enough to break something in its middle.
SLOW_FAKE = ("--embedder", "fake:0,20", "--reranker", "fake")


class Prism:
    """`prism serve`, ready while the block runs; may be killed and started again at the same address."""

    url: str
    grpc_address: str
    http: httpx.Client

    def __init__(
        self, *flags: str, program: Sequence[str] = ("-m", "weaviate_prism.cli"), load_seconds: float = WAIT
    ) -> None:
        self._flags = flags
        self._load_seconds = load_seconds
        self._program = program
        self._ports: tuple[str, ...] = ()
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self, program: Sequence[str] | None = None) -> None:
        """Returns when its models answer. `program`: another one than `prism`, this time."""
        with contextlib.ExitStack() as stack:
            process = Subprocess(*self._flags, *self._ports, program=program or self._program)
            stack.enter_context(process)
            self.http = stack.enter_context(process.ready(self._load_seconds))
            self._running = stack.pop_all()
        self._ports = ("--http-port", str(process.http_port), "--grpc-port", str(process.grpc_port))
        self.url = f"http://{LOOPBACK}:{process.http_port}"
        self.grpc_address = f"{LOOPBACK}:{process.grpc_port}"
        self.pid = process.process.pid

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self._running.close()

    def embed(self, kind: str, content: str) -> list[float]:
        """The vector that multi2vec-bind's door gives for one of `texts`, `images` or `video`."""
        answer = self._post("/vectorize", {kind: [content]})
        (vector,) = answer[{"texts": "textVectors", "images": "imageVectors", "video": "videoVectors"}[kind]]
        return list(vector)

    def rerank(self, query: str, documents: list[str]) -> list[float]:
        """The scores that reranker-transformers' door gives."""
        answer = self._post("/rerank", {"query": query, "documents": documents, "property": ""})
        return [score["score"] for score in answer["scores"]]

    def vector(self, *parts: Content, task: Any = pb.TASK_DOCUMENT, **target: Any) -> list[float]:
        """The vector that gRPC gives for one item of these parts; `target` as in the proto."""
        vector: list[float] = self.vectors([parts], task=task, **target)[0].tolist()
        return vector

    def vectors(
        self, items: Sequence[Sequence[Content]], task: Any = pb.TASK_DOCUMENT, **target: Any
    ) -> npt.NDArray[np.float32]:
        """A row for each item, as `vector`."""
        request = pb.VectorizeRequest(task=task, targets=[pb.Target(**target)], items=[_item(item) for item in items])
        with grpc.insecure_channel(self.grpc_address) as channel:
            response = pb_grpc.VectorizerStub(channel).Vectorize(request)
        assert not response.errors, response.errors
        return np.frombuffer(response.blocks[0].vectors, "<f4").reshape(len(items), -1)

    def scores(self, query: Sequence[Content], documents: Sequence[Sequence[Content]]) -> list[float]:
        """The scores that gRPC gives for documents of these parts."""
        request = pb.RerankRequest(query=_item(query), documents=[_item(document) for document in documents])
        with grpc.insecure_channel(self.grpc_address) as channel:
            response = pb_grpc.RerankerStub(channel).Rerank(request)
        assert not response.errors, response.errors
        return list(response.scores)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        return metric(self.http.get("/metrics").text, name, labels)

    def memory(self) -> int:
        """Bytes of its resident set."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def _post(self, path: str, body: object) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        parsed: dict[str, Any] = answer.json()
        return parsed


@dataclass(frozen=True)
class Stack:
    """A Weaviate, the Prism that serves it, and a client."""

    prism: Prism
    weaviate: WeaviateServer
    client: WeaviateClient


@contextlib.contextmanager
def stack(folder: Path, *flags: str) -> Iterator[Stack]:
    """Both servers for the time of the block, Weaviate's data and log in `folder`."""
    ensure_binary()  # may take minutes, in which Prism need not wait
    with Prism(*flags) as prism, WeaviateServer(prism.url, folder) as weaviate, weaviate.client() as client:
        yield Stack(prism, weaviate, client)


@contextlib.contextmanager
def native_stack(
    folder: Path, prism: Prism, variables: Mapping[str, str] = MappingProxyType({}), fast_blob_check: bool = False
) -> Iterator[Stack]:
    """Prism and a Weaviate with its native modules for the time of the block.

    Args:
        folder: for Weaviate's data and log.
        prism: not started yet.
        variables: further ones of Weaviate's.
        fast_blob_check: takes the build with Prism's own check of blobs.
    """

    binary = ensure_native(fast_blob_check=fast_blob_check)
    with prism:
        environment = {**native_variables(prism), **variables}
        server = WeaviateServer(prism.url, folder, binary=binary, environment=environment)
        with server as weaviate, weaviate.client() as client:
            yield Stack(prism, weaviate, client)


def native_variables(prism: Prism) -> dict[str, str]:
    """Weaviate's variables for the native modules beside the stock ones, and for metrics on a port of their own."""
    return {
        **native_modules(prism.grpc_address),
        "PROMETHEUS_MONITORING_ENABLED": "true",
        "PROMETHEUS_MONITORING_PORT": str(free_ports(1)[0]),
    }


def weaviate_metric(weaviate: WeaviateServer, name: str, **labels: str) -> float:
    """The sum of the samples of Weaviate's own metrics that have these labels."""
    port = weaviate.environment["PROMETHEUS_MONITORING_PORT"]
    return metric(httpx.get(f"http://{LOOPBACK}:{port}/metrics").text, name, labels)


def metric(exposition: str, name: str, labels: Mapping[str, str]) -> float:
    samples = [sample for family in text_string_to_metric_families(exposition) for sample in family.samples]
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


def _item(parts: Sequence[Content]) -> pb.Item:
    return pb.Item(parts=[pb.Part(text=part) if isinstance(part, str) else pb.Part(data=part) for part in parts])


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns as soon as it holds."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
