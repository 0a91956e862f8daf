"""An engine for tests, without a service around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Engine]:
    """Both models are fakes unless the settings say otherwise."""
    engine = Engine(Settings(**{"embedder": "fake", "reranker": "fake", **settings}))
    await engine.start()
    try:
        yield engine
    finally:
        engine.close()
