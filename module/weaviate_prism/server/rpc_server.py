"""The gRPC server around the services: limits, health, reflection, and its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from weaviate_prism.engine import Engine
from weaviate_prism.server.access import Access
from weaviate_prism.server.requests import Requests
from weaviate_prism.server.rpc import Door, Module, Reranker, Vectorizer
from weaviate_prism.server.rpc_interceptors import AskForKey, ParseRequests
from weaviate_prism.server.rpc_ports import open_port, open_socket
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

SERVICES = [service.full_name for service in pb.DESCRIPTOR.services_by_name.values()]

NEEDS = {"prism.v1.Vectorizer": "embedder", "prism.v1.Reranker": "reranker"}

# Calls at once; more get RESOURCE_EXHAUSTED from gRPC. A node of Weaviate has hundreds in flight at most, and each
# may bring a whole message before we can count its bytes. Only a first line: grpcio 1.78 takes each call that it
# refuses for one that ended, so the bound grows by one with it.
MOST_CALLS = 2000

# Watchers of the health service never end by themselves; an answer on its way out needs less.
FAREWELL_SECONDS = 1.0


class RpcServer:
    """prism.v1, grpc.health.v1 and reflection on a port, and on a unix socket where the settings name one."""

    def __init__(self, engine: Engine, requests: Requests) -> None:
        self._engine = engine
        self._requests = requests
        self._health = health.aio.HealthServicer()
        door = Door(engine, requests)
        self._server = grpc.aio.server(
            interceptors=[AskForKey(door, Access(engine.settings.api_key)), ParseRequests(door)],
            options=options(engine.settings.max_request_bytes),
            maximum_concurrent_rpcs=MOST_CALLS,
        )
        pb_grpc.add_VectorizerServicer_to_server(Vectorizer(door), self._server)
        pb_grpc.add_RerankerServicer_to_server(Reranker(door), self._server)
        pb_grpc.add_ModuleServicer_to_server(Module(door), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)

    async def start(self, host: str, port: int) -> int:
        """Opens the door; returns its port.

        Raises:
            OSError: the port or the socket cannot be had, or a file of the settings cannot be used.
        """
        settings = self._engine.settings
        await self.announce()
        bound = open_port(self._server, host, port, settings)
        if settings.grpc_socket:
            open_socket(self._server, Path(settings.grpc_socket))
        await self._server.start()
        return bound

    async def announce(self) -> None:
        """Sets the health of every service: the engine is ready, and the model that it needs is there."""
        info = self._engine.info()
        kinds = {model.kind for model in info.models}
        for name in (health.OVERALL_HEALTH, *SERVICES):
            serving = info.ready and (name not in NEEDS or NEEDS[name] in kinds)
            await self._health.set(name, SERVING if serving else NOT_SERVING)

    async def drain(self, grace: float) -> None:
        """Takes no more calls and returns when those in flight are answered, `grace` seconds at most."""
        await self._health.enter_graceful_shutdown()
        stopping = asyncio.create_task(self._server.stop(grace))
        idle = asyncio.create_task(self._requests.idle())
        await asyncio.wait((stopping, idle), return_when=asyncio.FIRST_COMPLETED)
        await self._server.stop(FAREWELL_SECONDS)


def options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # without it a second service on the same port would silently take half of the calls
        ("grpc.so_reuseport", 0),
        # Weaviate's native modules ping every 30 s, also without calls; gRPC answers pings
        # closer than 5 minutes with GOAWAY unless told so
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # and finds out within 80 s that a peer vanished without a word
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
