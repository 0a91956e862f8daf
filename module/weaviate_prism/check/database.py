"""What is read from Weaviate. Nothing is ever written, and no tenant is woken up."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import httpx
import weaviate
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.collections import Collection as Handle
from weaviate.exceptions import WeaviateBaseError

SECONDS = 60.0
AWAKE = ("ACTIVE", "HOT")

Vectors: TypeAlias = Mapping[str, Any]
"""Of one object, by name: lists of floats, or lists of such lists."""


class CheckError(RuntimeError):
    """There is nothing to report on: a service does not answer; the message names it and its flag or variable."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: its id, and its vectors or properties, as asked for."""

    id: str
    vectors: Vectors
    properties: Mapping[str, Any]


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
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=SECONDS)
        self.meta = self._get("/v1/meta")
        self._client = self._connected()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._http.close()

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
            yield Stored(str(each.uuid), each.vector, {})

    def properties(self, collection: str, tenant: str, ids: Sequence[str], names: Sequence[str]) -> list[Stored]:
        """Some properties of some objects, media too; without those that are null."""
        if not ids:
            return []
        found = self._handle(collection, tenant).query.fetch_objects_by_ids(
            [uuid.UUID(each) for each in ids], limit=len(ids), return_properties=list(names)
        )
        return [
            Stored(str(each.uuid), {}, {name: value for name, value in each.properties.items() if value is not None})
            for each in found.objects
        ]

    def _handle(self, collection: str, tenant: str) -> Handle[Any, Any]:
        handle = self._client.collections.use(collection)
        return handle.with_tenant(tenant) if tenant else handle

    def _get(self, path: str) -> dict[str, Any]:
        try:
            answer = self._http.get(path)
            answer.raise_for_status()
            parsed: dict[str, Any] = answer.json()
        except httpx.HTTPStatusError as error:
            hint = ": set WEAVIATE_API_KEY" if error.response.status_code in (401, 403) else ""
            raise CheckError(f"Weaviate answers {path} with {error.response.status_code}{hint}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise CheckError(f"no Weaviate answers at {self.url} (--weaviate): {error}") from None
        return parsed

    def _connected(self) -> weaviate.WeaviateClient:
        parts, (host, _, port) = urlsplit(self.url), self._grpc.rpartition(":")
        secure = parts.scheme == "https"
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
            raise CheckError(f"no Weaviate answers at {self._grpc} (--weaviate-grpc): {error}") from None
