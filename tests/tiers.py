"""Ways to compute a model, as tests choose them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from weaviate_prism.models import embedder, reranker

M = TypeVar("M")


@contextmanager
def loaded_the_standard_way() -> Iterator[None]:
    """Models that are loaded inside are computed by Sentence Transformers."""

    def none_faster(standard: M, *_: object, **__: object) -> M:
        return standard

    with pytest.MonkeyPatch.context() as patch:
        for module in (embedder, reranker):
            patch.setattr(module, "fastest", none_faster)
        yield
