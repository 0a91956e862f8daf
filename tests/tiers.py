"""Ways to compute a model, as tests choose them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from weaviate_prism.config import Settings
from weaviate_prism.models import embedder, reranker
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.profiles import ModelSpec

M = TypeVar("M")

TEXTS = [
    "a red bicycle",
    "",
    "QUARTERLY Revenue\n\trose",
    "zw\u00f6lf Fahrr\u00e4der \N{SNOWMAN} \u6771\u4eac \N{BICYCLE}",
    "leans against " * 60,
    "x" * 500,
    "/etc/passwd.png",
]


def load(directory: Path, dtype: Any = "float32") -> SentenceEmbedder:
    """An embedder, computed the fastest way that proves right."""
    return embedder.load(ModelSpec("embedder", str(directory), dtype=dtype), Settings(device="cpu", dtype=dtype))


@contextmanager
def loaded_the_standard_way() -> Iterator[None]:
    """Models that are loaded inside are computed by Sentence Transformers."""

    def none_faster(standard: M, *_: object, **__: object) -> M:
        return standard

    with pytest.MonkeyPatch.context() as patch:
        for module in (embedder, reranker):
            patch.setattr(module, "fastest", none_faster)
        yield
