"""The HTTP server around the doors: socket, keep-alive, stopping. Signals are left to `app.py`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from weaviate_prism.engine import Engine
from weaviate_prism.server.requests import Requests
from weaviate_prism.server.rest.routes import application

# Weaviate keeps idle connections for 90 s; closing one earlier than it does breaks its next request.
KEEP_ALIVE_SECONDS = 120
# Weaviate opens and closes hundreds of connections at once: it keeps two idle ones per host.
BACKLOG = 2048


class RestServer(uvicorn.Server):
    """All HTTP doors on one port."""

    def __init__(self, engine: Engine, requests: Requests) -> None:
        super().__init__(
            uvicorn.Config(
                application(engine, requests),
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                backlog=BACKLOG,
            )
        )
        self._task: asyncio.Task[None] | None = None

    def start(self, host: str, port: int) -> int:
        """Opens the door; returns its port.

        Raises:
            OSError: the address cannot be had.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise OSError(f"the HTTP port {port} on {host} cannot be had; is it taken? ({error.strerror})") from None
        # asyncio does it only for sockets made with IPPROTO_TCP; without, headers and body that are written
        # apart wait for each other: 47 ms a request instead of 2
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._task = asyncio.create_task(self.serve([listener]))
        bound: int = listener.getsockname()[1]
        return bound

    async def drain(self) -> None:
        """Takes no more requests and returns when those in flight are answered."""
        self.should_exit = True
        if self._task:
            await self._task

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Replaces uvicorn's own handlers."""
        yield
