"""What the service says at its start."""

from __future__ import annotations

import logging

import pytest

from weaviate_prism.config import Settings
from weaviate_prism.server.app import Service


@pytest.mark.parametrize(
    ("host", "key", "warned"),
    [("0.0.0.0", "", True), ("0.0.0.0", "s3cret", False), ("127.0.0.2", "", False), ("localhost", "", False)],
)
async def test_an_open_door_without_a_key_is_warned_of_once(
    host: str, key: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(host=host, http_port=0, grpc_port=0, api_key=key, embedder="fake", reranker="none")
    service = Service(settings)
    await service.start()
    await service.loaded()
    await service.drain()
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert warnings == ([f"whoever reaches {host} is answered: set --api-key, or keep --host to this machine"] * warned)
