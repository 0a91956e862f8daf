"""All HTTP doors as one ASGI application."""

from __future__ import annotations

import re

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from weaviate_prism.engine import Engine
from weaviate_prism.errors import PrismError, Unauthenticated
from weaviate_prism.server.access import Access
from weaviate_prism.server.requests import DisconnectError, Requests
from weaviate_prism.server.rest import rerank, status, vectorize
from weaviate_prism.server.rest.errors import error_body, error_response
from weaviate_prism.server.rest.exchange import endpoint

CONTRACTS = (vectorize.CONTRACT, rerank.CONTRACT)


def application(engine: Engine, requests: Requests) -> ASGIApp:
    """Routes and error bodies of every door."""
    posts = [Route(each.path, endpoint(each, engine, requests), methods=["POST"]) for each in CONTRACTS]
    handlers = {PrismError: prism_error, HTTPException: http_error, DisconnectError: client_gone}
    app = Starlette(routes=[*posts, *status.routes(engine)], exception_handlers=handlers)
    return SinglePath(AskForKey(app, Access(engine.settings.api_key), requests))


class SinglePath:
    """Takes `//vectorize/` for `/vectorize`: Weaviate joins origin and path without a look, and follows no redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = re.sub("/+", "/", scope["path"]).rstrip("/") or "/"
        await self._app(scope, receive, send)


class AskForKey:
    """401 at every door but the probes, be there a door or not, without the right key."""

    def __init__(self, app: ASGIApp, access: Access, requests: Requests) -> None:
        self._app = app
        self._access = access
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["path"] not in status.PROBES:
            try:
                self._access.check(Headers(scope=scope).get("authorization", ""))
            except Unauthenticated as error:
                self._requests.refused("http *", error)
                answer = error_response(error, {"www-authenticate": 'Basic realm="prism", Bearer realm="prism"'})
        await answer(scope, receive, send)


async def prism_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PrismError)
    return error_response(error)


async def http_error(request: Request, error: Exception) -> Response:
    """404 and 405, in the body that Weaviate reads."""
    assert isinstance(error, HTTPException)
    return error_body(f"{request.method} {request.url.path}: {error.detail}", error.status_code, error.headers)


async def client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it
