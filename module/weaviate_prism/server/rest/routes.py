"""All HTTP doors as one ASGI application."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

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
from weaviate_prism.server.rest import cohere, nvidia, openai, rerank, status, vectorize, vectors, voyageai
from weaviate_prism.server.rest.errors import STATUS, error_body
from weaviate_prism.server.rest.exchange import PROFILE, Contract, endpoint

CONTRACTS: tuple[Contract[Any], ...] = (
    vectorize.CONTRACT,
    vectors.CONTRACT,
    voyageai.CONTRACT,
    rerank.CONTRACT,
    cohere.CONTRACT,
    nvidia.CONTRACT,
    openai.CONTRACT,
)
FAILURES = {path: each.failure for each in CONTRACTS for path in each.paths}
# The shortest name before an address that there is; a hub id has a slash.
PREFIXED = re.compile("/p/(.+?)({})".format("|".join(map(re.escape, [*FAILURES, *status.PROBES, status.META]))))


def application(engine: Engine, requests: Requests) -> ASGIApp:
    """Routes and error bodies of every door."""
    posts = [
        Route(path, endpoint(each, engine, requests), methods=["POST"]) for each in CONTRACTS for path in each.paths
    ]
    gets = status.routes(engine, [each.note for each in CONTRACTS if each.note])
    handlers = {PrismError: prism_error, HTTPException: http_error, DisconnectError: client_gone}
    app = Starlette(routes=[*posts, *gets], exception_handlers=handlers)
    return Address(AskForKey(app, Access(engine.settings.api_key), requests))


class Address:
    """Takes `/p/NAME/vectorize` for `/vectorize` with a profile, and `//vectorize/` for `/vectorize`.

    Weaviate joins origin and path without a look, and follows no redirect.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = re.sub("/+", "/", scope["path"]).rstrip("/") or "/"
        if prefixed := PREFIXED.fullmatch(scope["path"]):
            scope[PROFILE], scope["path"] = prefixed.groups()
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
                asking = {"www-authenticate": 'Basic realm="prism", Bearer realm="prism"'}
                answer = failure(scope, error.message, STATUS[Unauthenticated], asking)
        await answer(scope, receive, send)


async def prism_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PrismError)
    return failure(request.scope, error.message, STATUS[type(error)])


async def http_error(request: Request, error: Exception) -> Response:
    """404 and 405."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return failure(request.scope, message, error.status_code, error.headers)


def failure(scope: Scope, message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """In the shape of the door, if there is one."""
    return FAILURES.get(scope["path"], error_body)(message, status, headers)


async def client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it
