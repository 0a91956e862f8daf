"""Ways to compute a model, as tests choose them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from weaviate_prism.models.causal_lm import CausalLM
from weaviate_prism.models.qwen_vl import QwenVL
from weaviate_prism.models.tiers import NotApplicable


@contextmanager
def loaded_the_standard_way() -> Iterator[None]:
    """Models that are loaded inside are computed by Sentence Transformers."""

    def refuse(*_: object) -> None:
        raise NotApplicable("for the standard way")

    with pytest.MonkeyPatch.context() as patch:
        for tier in (QwenVL, CausalLM):
            patch.setattr(tier, "__init__", refuse)
        yield
