"""What is asked of Prism: what it is, and vectors, at the doors that Weaviate uses."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import grpc
import httpx
import numpy as np

from weaviate_prism.check.reaching import CheckError, channel
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc
from weaviate_prism.values import Vector

SECONDS = 60.0
TLS = "https://"


class RefusedError(RuntimeError):
    """Prism does not make a vector; the message is its own. `model`: it has no such model."""

    def __init__(self, message: str, *, model: bool = False) -> None:
        super().__init__(message)
        self.model = model


class Service:
    """A Prism while the block runs.

    Args:
        url: of its HTTP port.
        key: becomes empty where Prism asks for none.
        address: of its gRPC port, host:port or unix:///path; https://host:port for TLS, with the authorities of
            the variable GRPC_DEFAULT_SSL_ROOTS_FILE_PATH where it is set.
    """

    def __init__(self, url: str, address: str, key: str) -> None:
        self.url = url.rstrip("/")
        self.address = address
        self.key = key
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def __enter__(self) -> Self:
        """
        Raises:
            CheckError
        """
        with contextlib.ExitStack() as stack:
            self._http = stack.enter_context(httpx.Client(headers=self._headers, timeout=SECONDS))
            opened = channel(self.address.removeprefix(TLS), tls=self.address.startswith(TLS))
            self._channel = stack.enter_context(opened)
            self.meta = self._meta()
            if self.key and httpx.get(f"{self.url}/meta", timeout=SECONDS).is_success:
                self.key = ""
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def probe(self) -> tuple[bool, float]:
        """Whether it is ready, and the seconds that the answer took."""
        began = time.monotonic()
        answer = self._http.get(f"{self.url}/.well-known/ready")
        return answer.is_success, time.monotonic() - began

    def stock(self, path: str, inputs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """What the door of bind and clip answers.

        Args:
            path: a prefix of the door's, from a collection's address; empty for none.

        Raises:
            RefusedError
        """
        try:
            answer = self._http.post(f"{self.url}{path}/vectorize", json=inputs)
            parsed: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise RefusedError(f"{self.url}: {error}") from None
        if not answer.is_success:
            raise RefusedError(str(parsed.get("error")), model=answer.status_code == 404)
        return parsed

    def vector(self, target: pb.Target, parts: Sequence[pb.Part], collection: str) -> Vector:
        """What gRPC answers for one object.

        Raises:
            RefusedError
        """
        request = pb.VectorizeRequest(
            task=pb.TASK_DOCUMENT, collection=collection, targets=[target], items=[pb.Item(parts=parts)]
        )
        try:
            answer = pb_grpc.VectorizerStub(self._channel).Vectorize(
                request, timeout=SECONDS, metadata=tuple(self._headers.items())
            )
        except grpc.RpcError as error:
            message = error.details() or ""
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                message = f"Prism's gRPC port does not answer at {self.address} (--prism-grpc): {message}"
            raise RefusedError(message, model=error.code() == grpc.StatusCode.NOT_FOUND) from None
        if answer.errors:
            raise RefusedError(answer.errors[0].message)
        return np.frombuffer(answer.blocks[0].vectors, "<f4")

    def _meta(self) -> dict[str, Any]:
        try:
            answer = self._http.get(f"{self.url}/meta")
            parsed: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise CheckError(f"no Prism answers at {self.url} (--prism): {error}") from None
        if answer.status_code == 401:
            raise CheckError(f"Prism at {self.url} asks for its key: set PRISM_API_KEY")
        if not answer.is_success or not isinstance(parsed, dict) or "models" not in parsed:
            raise CheckError(f"what answers at {self.url} (--prism) is not Prism")
        return parsed
