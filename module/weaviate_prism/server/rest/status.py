"""GET /.well-known/live and /ready, /meta, /metrics: what Weaviate, Kubernetes and Prometheus ask.

Nothing here waits for a model: Weaviate allows a probe 500 ms, and a slow /meta makes its clients
fail to connect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from weaviate_prism.engine import Engine
from weaviate_prism.errors import NotFound, Unavailable
from weaviate_prism.server.rest.exchange import PROFILE

LIVE, READY = PROBES = ("/.well-known/live", "/.well-known/ready")
META = "/meta"


def routes(engine: Engine, notes: Sequence[str]) -> list[Route]:
    """The four routes; Starlette adds HEAD to each. `notes`: what /meta tells of the doors."""

    async def live(request: Request) -> Response:
        return Response(status_code=204)

    def check_profile(request: Request) -> None:
        """A wrong address is told when Weaviate starts, not by its first object."""
        if name := request.scope.get(PROFILE):
            engine.profiles.find(name)

    async def ready(request: Request) -> Response:
        try:
            check_profile(request)
        except NotFound:  # which names all there are, and a probe shows no key
            raise NotFound("there is no profile of that name") from None
        if not engine.ready():
            raise Unavailable("not ready: models are loading, or the service is shutting down")
        return Response(status_code=204)

    async def meta(request: Request) -> Response:
        check_profile(request)
        told = {**msgspec.to_builtins(engine.info(), order="deterministic"), "notes": notes}
        return Response(msgspec.json.encode(told), media_type="application/json")

    async def metrics(request: Request) -> Response:
        text = await asyncio.to_thread(engine.metrics.exposition)
        return Response(text, media_type="text/plain; version=0.0.4")

    return [
        Route(LIVE, live),
        Route(READY, ready),
        Route(META, meta),
        Route("/metrics", metrics),
    ]
