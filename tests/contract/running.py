"""A real service for tests: in this process on a thread of its own, or as the process that users start."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import httpx
import numpy as np
import numpy.typing as npt
import pytest

from weaviate_prism.config import Settings
from weaviate_prism.models.base import Prepared
from weaviate_prism.models.fake import FakeEmbedder
from weaviate_prism.server.app import Service

WAIT = 60.0
FAKE = {"host": "127.0.0.1", "http_port": 0, "grpc_port": 0, "embedder": "fake", "reranker": "fake"}
LISTENING = re.compile(r"listening on http://[^ ]+:(\d+) and grpc://[^ ]+:(\d+)")


class InProcess:
    """Serves from a background thread while the block runs."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**{**FAKE, **settings})
        self.service: Service
        self._open = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._open.wait(WAIT)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.service.http_port}", timeout=WAIT)
        self.grpc_address = f"127.0.0.1:{self.service.grpc_port}"
        self.channel = grpc.insecure_channel(self.grpc_address)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()
        self.channel.close()
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(WAIT)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.service = Service(self.settings)
        await self.service.start()
        await self.service.loaded()
        self._open.set()
        await self._end.wait()
        await self.service.drain()

    def tasks(self) -> int:
        """How many are on their way in the service, those of requests that are being called off included."""
        return len(asyncio.all_tasks(self._loop))

    def metric(self, name: str, **labels: str) -> float:
        return self.service.engine.metrics.registry.get_sample_value(name, labels) or 0.0


def until(condition: Callable[[], bool]) -> None:
    """Returns as soon as another thread or process has made it true."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def recorded(running: InProcess, monkeypatch: pytest.MonkeyPatch, method: str) -> list[dict[str, Any]]:
    """The keyword arguments of every call of an engine's method from now on."""
    calls: list[dict[str, Any]] = []
    original = getattr(running.service.engine, method)

    async def record(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        return await original(*args, **kwargs)

    monkeypatch.setattr(running.service.engine, method, record)
    return calls


def held_up(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[int]]:
    """While the event is not set, the embedder does not answer; the sizes are of the batches it got from now on."""
    free = threading.Event()
    sizes: list[int] = []
    original = FakeEmbedder.forward

    def forward(model: FakeEmbedder, batch: Sequence[Prepared], threads: int) -> npt.NDArray[np.float32]:
        sizes.append(len(batch))
        assert free.wait(WAIT)
        return original(model, batch)

    monkeypatch.setattr(FakeEmbedder, "forward", forward)
    return free, sizes


class Subprocess:
    """`prism serve` with these flags; killed when the block ends, if it still runs."""

    def __init__(self, *flags: str, program: Sequence[str] = ("-m", "weaviate_prism.cli")) -> None:
        ports = () if "--http-port" in flags else ("--http-port", "0", "--grpc-port", "0")
        models = () if "--embedder" in flags else ("--embedder", "fake")
        rerankers = () if "--reranker" in flags else ("--reranker", "fake")
        self._command = [sys.executable, *program, "serve", *ports, *models, *rerankers, *flags]
        self.log: list[str] = []
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._news:
                self.log.append(line.rstrip())
                self._news.notify_all()
        with self._news:
            self.log.append("(end of log)")
            self._news.notify_all()

    def wait_for(self, pattern: str, seconds: float = WAIT) -> re.Match[str]:
        """The first match in the log, as soon as there is one."""
        with self._news:
            assert self._news.wait_for(lambda: self._search(pattern) or "(end of log)" in self.log, seconds), self.log
            match = self._search(pattern)
        assert match, "\n".join(self.log)
        return match

    def _search(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, "\n".join(self.log), re.MULTILINE)

    def loading(self) -> httpx.Client:
        """A client, once the doors are open."""
        self.http_port, self.grpc_port = (int(port) for port in self.wait_for(LISTENING.pattern).groups())
        return httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", timeout=WAIT)

    def ready(self, seconds: float = WAIT) -> httpx.Client:
        """A client, once the models answer."""
        http = self.loading()
        self.wait_for(r": ready$", seconds)
        return http

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def status(self) -> int:
        """The exit status."""
        return self.process.wait(WAIT)
