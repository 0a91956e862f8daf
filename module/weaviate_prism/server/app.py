"""The life of the service: compose, start, serve, drain, exit."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import signal
from typing import NoReturn

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.metrics import Metrics
from weaviate_prism.server.requests import Requests, first
from weaviate_prism.server.rest.server import RestServer
from weaviate_prism.server.rpc_server import RpcServer

log = logging.getLogger(__name__)

# After so many new objects the collector looks for cycles in these, after so many such times in those of all of them,
# and after so many of these times in everything. With 1,000 texts on their way, the second holds all up for 0.3 ms and
# the last for 4 ms, in one request of ten; as Python is set, for 0.6 ms, and in one of four. It misses little: requests
# leave cycles only of items that fail.
GARBAGE = (700, 3, 100)


class Service:
    """One engine behind its two doors. Make it inside the event loop that shall run it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = Engine(settings, Metrics())
        self.requests = Requests(self.engine.metrics)
        self._rest = RestServer(self.engine, self.requests)
        self._rpc = RpcServer(self.engine, self.requests)
        self.http_port = settings.http_port
        self.grpc_port = settings.grpc_port

    async def start(self) -> None:
        """Opens the doors, then loads the models behind them: probes are answered at once.

        Raises:
            OSError: names what cannot be had: a port, the socket, a file of the settings.
        """
        host = self.settings.host
        self.http_port = self._rest.start(host, self.http_port)
        self.grpc_port = await self._rpc.start(host, self.grpc_port)
        if not self.settings.api_key and not is_loopback(host):
            log.warning("whoever reaches %s is answered: set --api-key, or keep --host to this machine", host)
        tls = " (TLS)" if self.settings.tls_cert else ""
        log.info("listening on http://%s:%d and grpc://%s:%d%s", host, self.http_port, host, self.grpc_port, tls)
        if self.settings.grpc_socket:
            log.info("listening on unix:%s", self.settings.grpc_socket)
        self._loading = asyncio.create_task(self._load())

    async def loaded(self) -> None:
        """Returns when the models answer, or cannot be loaded."""
        await asyncio.shield(self._loading)

    @property
    def loading(self) -> bool:
        return not self._loading.done() or self.engine.loading()

    async def _load(self) -> None:
        gc.disable()  # looking through what stays for good took 1.3 s of the 9 s that importing the libraries takes
        try:
            await self.engine.start()
        finally:
            await asyncio.to_thread(settle_garbage)
        await self._rpc.announce()
        if self.engine.ready():
            log.info("ready")

    async def drain(self) -> bool:
        """Takes no more work and finishes what is in flight; false if `drain_timeout` was too short for that."""
        grace = self.settings.drain_timeout
        self._loading.cancel()
        gc.unfreeze()  # or libraries call what is left at the end of the process leaked
        self.engine.drain()
        try:
            async with asyncio.timeout(grace):
                await asyncio.gather(self._rest.drain(), self._rpc.drain(grace))
        except TimeoutError:
            if not self.requests.in_flight:
                return True  # servers take a tenth of a second to end, whatever the setting
            log.error("%d requests were not finished within %g s (drain_timeout)", self.requests.in_flight, grace)
            return False
        self.engine.close()
        return True


class Stop:
    """Two stages: the first signal asks for a drain, the second forces the end."""

    def __init__(self) -> None:
        self._asked, self._forced = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        (self._forced if self._asked.is_set() else self._asked).set()

    async def asked(self) -> str:
        await self._asked.wait()
        return ""

    async def forced(self) -> bool:
        await self._forced.wait()
        log.error("second signal: requests in flight are cut")
        return False


def settle_garbage() -> None:
    """What is loaded by now is never looked at again for cycles: half a million objects, in which all else stood
    still for 250 ms each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    gc.enable()


async def serve(settings: Settings) -> int:
    """Serves until a signal or a fault. 0 only for a signal and a complete drain."""
    stop = Stop()
    service = Service(settings)
    try:
        await service.start()
    except OSError as error:
        log.error("cannot start: %s", error)
        return 1
    if fault := await first(stop.asked(), service.engine.failed()):
        log.error("stopping: %s", fault)
    log.info("finishing %d requests in flight", service.requests.in_flight)
    loading = service.loading
    complete = await first(service.drain(), stop.forced())
    status = 0 if complete and not fault else 1
    log.info("stopped")
    if loading or service.loading or not complete:  # before, or because of a request in flight
        leave(status)
    return status


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it; a name other than `localhost` may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def leave(status: int) -> NoReturn:
    """Ends the process at once: a thread that loads or runs a model cannot be interrupted, and would be waited for."""
    logging.shutdown()
    os._exit(status)


def run(settings: Settings) -> int:
    """The exit status of `prism serve`."""
    return asyncio.run(serve(settings))
