"""Texts, and pairs of them, as the tokens that Sentence Transformers makes: without tensors and without the tokenizer's
shared state.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder

from weaviate_prism.models.chat import readable
from weaviate_prism.models.messages import untruncated
from weaviate_prism.models.rows import Tokens
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.values import Task

PROMPTS = "", "Find it. "


class Pairs:
    """The inputs of a text model: texts of an embedder, pairs of a cross-encoder. Thread-safe.

    Raises:
        NotApplicable: its tokenizer has no Rust, or Sentence Transformers makes other tokens of them: it cuts at
            another place, its queries have a limit of their own, or whatever it is.
    """

    def __init__(self, model: Any, max_tokens: int) -> None:
        first = model[0]
        if first.processing_kwargs:
            raise NotApplicable(f"it sets options of its processor: {', '.join(sorted(first.processing_kwargs))}")
        if (rust := untruncated(first.tokenizer)) is None:
            raise NotApplicable("its tokenizer has no Rust")
        rust.enable_truncation(max_tokens, strategy="longest_first", direction=first.tokenizer.truncation_side)
        self._encode = rust.encode
        self._prompted = first.input_formatter.prepend_prompt_to_texts
        self._require_same(model, max_tokens)

    def tokens(self, source: Any, prompt: str | None) -> Tokens:
        """[2, tokens]: themselves, and of which text of a pair each is.

        Raises:
            InvalidInput: the tokenizer cannot read it.
        """
        texts = source["text"] if isinstance(source, dict) else source
        with readable():
            if prompt:
                (texts,) = self._prompted([texts], prompt)
            found = self._encode(texts) if isinstance(texts, str) else self._encode(*texts)
        return np.array([found.ids, found.type_ids], dtype=np.int64)

    def _require_same(self, model: Any, limit: int) -> None:
        tasks: list[str | None] = [None] if isinstance(model, CrossEncoder) else [task.value for task in Task]
        for source, prompt, task in itertools.product(_samples(model, limit), PROMPTS, tasks):
            features = model[0].preprocess([source], prompt=prompt, task=task)
            theirs = features["input_ids"]
            types = features.get("token_type_ids", theirs.new_zeros(theirs.shape))
            ours = self.tokens(source, prompt)
            if not (features["attention_mask"].all() and np.array_equal(ours, np.concatenate([theirs, types]))):
                raise NotApplicable("its texts become other tokens, or are cut in another way")
            if not ours.size:
                raise NotApplicable("of an empty text it makes no token")


def _samples(model: Any, limit: int) -> Iterator[Any]:
    """Texts over the limit among them; and a control token, which prompts may have."""
    long = " ".join(map(str, range(limit)))
    texts = ["", f"A Red \N{SNOWMAN}\n{model.tokenizer.sep_token} leans", long]
    return itertools.product(texts, texts) if isinstance(model, CrossEncoder) else ({"text": text} for text in texts)
