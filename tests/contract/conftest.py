from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from contract.running import InProcess
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc


@pytest.fixture(scope="package")
def service() -> Iterator[InProcess]:
    """A service with fake models and small limits, shared by all tests that leave it as it was."""
    with InProcess(
        max_request_bytes=1_000_000,
        max_items=50,
        max_text_bytes=10_000,
        max_image_bytes=100_000,
        max_video_bytes=200_000,
    ) as running:
        yield running


@pytest.fixture
def http(service: InProcess) -> httpx.Client:
    return service.http


@pytest.fixture
def vectorizer(service: InProcess) -> pb_grpc.VectorizerStub:
    return pb_grpc.VectorizerStub(service.channel)


@pytest.fixture
def reranker(service: InProcess) -> pb_grpc.RerankerStub:
    return pb_grpc.RerankerStub(service.channel)
