"""How each HTTP door is asked for one thing, and what it calls that thing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

from contract.test_vectorize import refused

Body: TypeAlias = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Door:
    """A `text` or `image` (base64) as the body that a module sends, with the name that errors give it."""

    path: str
    text: tuple[str, Body] | None = None
    image: tuple[str, Body] | None = None
    statuses: Mapping[int, int] | None = None  # where they differ from everybody's

    def post(self, http: httpx.Client, body: Mapping[str, Any], profile: str = "") -> httpx.Response:
        """Without a Content-Type, as most modules do."""
        prefix = f"/p/{profile}" if profile else ""
        return http.post(prefix + self.path, content=json.dumps(body).encode())

    def message(self, response: httpx.Response, status: int) -> str:
        """Of an error, from wherever the contract's clients read it."""
        status = (self.statuses or {}).get(status, status)
        if self.path != "/v1/embeddings":
            return refused(response, status)
        assert response.status_code == status, response.text
        (error,) = response.json().values()
        assert list(error) == ["message", "type", "param", "code"]
        assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
        message: str = error["message"]
        return message


def content(kind: str) -> Body:
    return lambda value: {"inputs": [{"content": [{"type": kind, kind: value}]}], "input_type": "document"}


def documents(value: str) -> dict[str, Any]:
    return {"query": "q", "documents": [value]}


def passages(value: str) -> dict[str, Any]:
    return {"query": {"text": "q"}, "passages": [{"text": value}]}


DOORS: Mapping[str, Door] = {
    "bind and clip": Door(
        "/vectorize",
        text=("texts[0]", lambda value: {"texts": [value]}),
        image=("images[0]", lambda value: {"images": [value]}),
    ),
    "transformers": Door("/vectors", text=("text", lambda value: {"text": value})),
    "img2vec": Door("/vectors", image=("image", lambda value: {"id": "a_0", "image": value})),
    "voyageai": Door(
        "/v1/multimodalembeddings",
        text=("inputs[0]", content("text")),
        image=("inputs[0]", lambda value: content("image_base64")(f"data:image/png;base64,{value}")),
    ),
    "openai": Door("/v1/embeddings", text=("input", lambda value: {"input": value})),
    "reranker-transformers": Door("/rerank", text=("documents[0]", documents), image=("documents[0]", documents)),
    "cohere": Door("/v2/rerank", text=("documents[0]", documents), image=("documents[0]", documents)),
    "nvidia": Door(
        "/v1/retrieval/nvidia/reranking",
        text=("passages[0]", passages),
        image=("passages[0]", passages),
        statuses=dict.fromkeys((400, 404, 413, 422, 429), 403),
    ),
}
RERANKERS = ("reranker-transformers", "cohere", "nvidia")
