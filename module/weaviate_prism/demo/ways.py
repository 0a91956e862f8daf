"""The two ways in: Weaviate's stock modules, which speak HTTP to Prism, and Prism's own modules, which speak gRPC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weaviate.classes.config import Configure

from weaviate_prism.demo.service import Prism
from weaviate_prism.weaviate.binary import Progress, ensure_binary
from weaviate_prism.weaviate.native import ensure_native
from weaviate_prism.weaviate.server import LOOPBACK, native_modules


@dataclass(frozen=True)
class Way:
    """What differs between the two."""

    modules: str  # for people
    binary: Callable[[Progress], Path]
    environment: Callable[[Prism], dict[str, str]]  # of Weaviate, beyond the usual
    vectors: Any  # the collection's configurations
    reranker: Any


STOCK = Way(
    "multi2vec-bind and reranker-transformers",
    binary=ensure_binary,
    environment=lambda prism: {},
    # Without weights: Weaviate hands them to the wrong fields where an object lacks a property.
    vectors=Configure.Vectors.multi2vec_bind(text_fields=["title"], image_fields=["picture"], video_fields=["clip"]),
    reranker=Configure.Reranker.transformers(),
)

NATIVE = Way(
    "multi2vec-prism and reranker-prism",
    binary=lambda progress: ensure_native(progress=progress),
    environment=lambda prism: native_modules(f"{LOOPBACK}:{prism.grpc_port}"),
    vectors=Configure.Vectors.custom(
        module_name="multi2vec-prism",
        # The stock modules' way, so that both find the same.
        module_config={"textFields": ["title"], "imageFields": ["picture"], "videoFields": ["clip"], "fusion": "mean"},
    ),
    reranker=Configure.Reranker.custom("reranker-prism"),
)
