"""What is read from Weaviate. Nothing is ever written, and no tenant is woken up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import httpx
import weaviate
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.collections import Collection as Handle
from weaviate.exceptions import WeaviateBaseError

from weaviate_prism.check import reaching
from weaviate_prism.check.reaching import CheckError

SECONDS = 60.0
AWAKE = ("ACTIVE", "HOT")

Vectors: TypeAlias = Mapping[str, Any]
"""Of one object, by name: lists of floats, or lists of such lists."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object."""

    id: str
    vectors: Vectors


class Database:
    """A Weaviate, over REST and gRPC, while the block runs.

    Args:
        url: of its REST API.
        grpc: host:port of its gRPC API, with TLS if `url` is https.
    """

    def __init__(self, url: str, grpc: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._grpc = grpc
        self._key = key

    def __enter__(self) -> Self:
        """
        Raises:
            CheckError
        """
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        with contextlib.ExitStack() as stack:
            self._http = stack.enter_context(httpx.Client(base_url=self.url, headers=headers, timeout=SECONDS))
            self.meta = self._get("/v1/meta")
            self._client = stack.enter_context(self._connected())
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def schema(self) -> dict[str, Any]:
        return self._get("/v1/schema")

    def tenants(self, collection: str, most: int) -> tuple[list[str], int]:
        """The first tenants that are awake, and how many there are in all."""
        tenants = self._client.collections.use(collection).tenants.get()
        awake = sorted(name for name, each in tenants.items() if each.activity_status.value in AWAKE)
        return awake[:most], len(tenants)

    def count(self, collection: str, tenant: str) -> int:
        return self._handle(collection, tenant).aggregate.over_all(total_count=True).total_count or 0

    def vectors(self, collection: str, tenant: str) -> Iterator[Stored]:
        """All objects with their vectors, in the order of their UUIDs."""
        stored = self._handle(collection, tenant).iterator(include_vector=True, return_properties=[])
        for each in stored:
            yield Stored(str(each.uuid), each.vector)

    def properties(self, collection: str, tenant: str, uuid: str, names: Sequence[str]) -> Mapping[str, Any]:
        """Some properties of an object, media too; without those that are null."""
        query = self._handle(collection, tenant).query
        found = query.fetch_object_by_id(uuid, return_properties=list(names))
        return {name: value for name, value in found.properties.items() if value is not None} if found else {}

    def _handle(self, collection: str, tenant: str) -> Handle[Any, Any]:
        handle = self._client.collections.use(collection)
        return handle.with_tenant(tenant) if tenant else handle

    def _get(self, path: str) -> dict[str, Any]:
        try:
            answer = self._http.get(path)
            answer.raise_for_status()
            parsed: dict[str, Any] = answer.json()
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            hint = "set WEAVIATE_API_KEY" if status in (401, 403) else "is this Weaviate?"
            raise CheckError(f"{self.url}{path} (--weaviate) answers with {status}: {hint}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise CheckError(f"no Weaviate answers at {self.url} (--weaviate): {error}") from None
        return parsed

    def _connected(self) -> weaviate.WeaviateClient:
        parts, (host, _, port) = urlsplit(self.url), self._grpc.rpartition(":")
        secure = parts.scheme == "https"
        if not reaching.answers(self._grpc, secure):
            raise CheckError(f"no Weaviate answers at {self._grpc} (--weaviate-grpc)")
        try:
            return weaviate.connect_to_custom(
                parts.hostname or "",
                parts.port or (443 if secure else 80),
                secure,
                host,
                int(port),
                secure,
                auth_credentials=Auth.api_key(self._key) if self._key else None,
                additional_config=AdditionalConfig(timeout=Timeout(init=10, query=SECONDS)),
                skip_init_checks=True,  # they ask the package index for a newer client
            )
        except (WeaviateBaseError, ValueError) as error:
            raise CheckError(f"no Weaviate answers at {self.url} (--weaviate): {error}") from None
