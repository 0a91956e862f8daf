"""Tier 1 for rerankers that are language models, Qwen3 or Qwen2: the packed decoder, and a query's start computed once.

query and document -> the model's template -> tokens -> language model -> the difference of two logits
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.modules import Transformer
from transformers import Qwen2ForCausalLM, Qwen3ForCausalLM

from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.chat import Chat, readable
from weaviate_prism.models.decoder import Decoder
from weaviate_prism.models.heads import Head
from weaviate_prism.models.packing import Packed
from weaviate_prism.models.rows import Prefix, Prefixes, Row, after, prepared
from weaviate_prism.models.tiers import NotApplicable


class CausalLM:
    """See `models.tiers.PairTier`.

    Raises:
        NotApplicable: the model is neither Qwen3 nor Qwen2, or asks for something that is not done here.
    """

    name = "causal-lm"
    eyes = ""
    wanted_size = None
    media_bytes = 0

    def __init__(self, model: Any, head: Callable[[Any], Head], max_tokens: int) -> None:
        first = model[0]
        if not isinstance(first, Transformer) or type(first.model) not in (Qwen2ForCausalLM, Qwen3ForCausalLM):
            raise NotApplicable("it is no Qwen3 or Qwen2 language model")
        if "message" not in model.modalities:
            raise NotApplicable("it has no chat template")
        self._chat = Chat(first)
        self._decoder = Decoder(first.model.model)
        self._head = head(model)
        self._max_tokens = max_tokens
        self._prefixes = Prefixes(self._decoder.token_bytes)
        self._chat.require_cut(model, max_tokens)

    def patched(self, content: Content) -> Content:
        """Unchanged: the model reads texts only."""
        return content

    def shared(self, sources: Sequence[Any], contents: Sequence[Content], *, prompt: str | None) -> Prefix | None:
        """See `models.tiers.PairTier`."""
        with readable():
            return self._prefixes.of([self._row(source, prompt) for source in sources])

    def prepare(
        self,
        source: Any,
        contents: Sequence[Content],
        *,
        prompt: str | None,
        task: str | None,
        shared: Prefix | None = None,
    ) -> Prepared:
        """Tokens and positions of one conversation, whose last text is cut if it is too long.

        Raises:
            InvalidInput: the model's template or tokenizer cannot read it.
        """
        with readable():
            row = self._row(source, prompt)
            row = _row(self._chat.cut(row.tokens, source, self._max_tokens))
        return prepared(after(shared, row))

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        """The head's answers, on the model's device."""
        return self._head(self._decoder(Packed([prepared.features for prepared in batch], self._decoder.device)))

    def _row(self, conversation: Any, prompt: str | None) -> Row:
        return _row(self._chat.tokens(self._chat.text(conversation, prompt)))


def _row(tokens: Any) -> Row:
    return Row(tokens, np.arange(len(tokens)), ())
