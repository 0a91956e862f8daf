"""Prism and a real Weaviate, each as the process that users start, for end-to-end tests and benchmarks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families
from weaviate import WeaviateClient

from contract.running import WAIT, Subprocess
from weaviate_prism.weaviate.binary import ensure_binary
from weaviate_prism.weaviate.server import WeaviateServer

BUNDLED = ("--embedder", "scenes-embedder", "--reranker", "scenes-reranker")
# 20 ms for every text: an import of 100 objects takes long enough to break something in its middle.
SLOW_FAKE = ("--embedder", "fake:0,20", "--reranker", "fake")


class Prism:
    """`prism serve`, ready while the block runs; may be killed and started again at the same address."""

    url: str
    http: httpx.Client

    def __init__(self, *flags: str) -> None:
        self._flags = flags
        self._ports: tuple[str, ...] = ()
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        with contextlib.ExitStack() as stack:
            process = stack.enter_context(Subprocess(*self._flags, *self._ports))
            self.http = stack.enter_context(process.ready())
            self._running = stack.pop_all()
        self._ports = ("--http-port", str(process.http_port), "--grpc-port", str(process.grpc_port))
        self.url = f"http://127.0.0.1:{process.http_port}"
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

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        families = text_string_to_metric_families(self.http.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

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


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns as soon as it holds."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
