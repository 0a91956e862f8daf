"""How errors look to HTTP clients: one status per kind, one body for every Weaviate module (see `Contract.failure`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec
from starlette.responses import Response

from weaviate_prism import errors
from weaviate_prism.errors import MESSAGE_CHARACTERS, PrismError

T = TypeVar("T")

# Of items that have the same error, so many are named.
NAMED = 20

# Weaviate never retries, whatever the status; 5xx is kept for what is not the client's doing.
STATUS: Mapping[type[PrismError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unsupported: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Internal: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def error_body(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Weaviate's modules read the text from different keys and want a string in each."""
    keys = ("error", "detail", "message", "title")
    body = msgspec.json.encode(dict.fromkeys(keys, message))
    return Response(body, status, headers, media_type="application/json")


def complete(results: Mapping[str, T | PrismError]) -> dict[str, T]:
    """The results by name, if all of them are there.

    Raises:
        PrismError: names every bad item; of the kind with the highest status among them.
    """
    bad = {name: result for name, result in results.items() if isinstance(result, PrismError)}
    if bad:
        raise combined(bad)
    return {name: result for name, result in results.items() if not isinstance(result, PrismError)}


def combined(bad: Mapping[str, PrismError]) -> PrismError:
    worst = max(bad.values(), key=lambda error: STATUS[type(error)])
    alike: dict[str, list[str]] = {}
    for name, error in bad.items():
        alike.setdefault(error.message, []).append(name)
    return type(worst)(joined([PrismError(message).about(listed(names)).message for message, names in alike.items()]))


def listed(names: Sequence[str]) -> str:
    """`texts[0], texts[1] and 5 more`"""
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def joined(messages: list[str]) -> str:
    """`images[3]: not a picture; texts[0]: too long`, cut at whole messages with a count of the rest."""
    text = ""
    for number, message in enumerate(messages):
        rest = f"; and {len(messages) - number} more"
        if text and len(f"{text}; {message}{rest}") > MESSAGE_CHARACTERS:
            return text + rest
        text = f"{text}; {message}" if text else message
    return text
