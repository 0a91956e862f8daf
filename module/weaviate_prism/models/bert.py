"""Tier 1 for text models like BERT: RoBERTa and XLM-RoBERTa too, as embedders and as cross-encoders.

text or pair -> tokens, one row after another -> layers -> all tokens, or the first -> pooling or classifier
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import (
    BertForSequenceClassification,
    BertModel,
    RobertaForSequenceClassification,
    RobertaModel,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.bert_layers import ALIKE, Runs, encoded, encoded_for_firsts
from weaviate_prism.models.heads import through_plain
from weaviate_prism.models.pairs import Pairs
from weaviate_prism.models.tiers import NotApplicable

ENCODERS = BertModel, RobertaModel, XLMRobertaModel
CLASSIFIERS = BertForSequenceClassification, RobertaForSequenceClassification, XLMRobertaForSequenceClassification


@dataclass(frozen=True, slots=True)
class Head:
    """What comes after the last layer."""

    of_firsts: bool  # whether it reads the first token of each row only
    # From the tokens of some rows, [rows, longest, width], and where there are any, [rows, longest] (None: everywhere).
    read: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
    after: Callable[[torch.Tensor], torch.Tensor]  # from what is read of all rows to the model's answers


class Bert:
    """See `models.tiers.PairTier`.

    Raises:
        NotApplicable: the model is none of these, or asks for something that is not done here.
    """

    name = "bert"
    eyes = ""
    wanted_size = None
    media_bytes = 0

    def __init__(self, model: Any, max_tokens: int) -> None:
        first = model[0]
        kinds = CLASSIFIERS if isinstance(model, CrossEncoder) else ENCODERS
        if not isinstance(first, Transformer) or type(first.model) not in kinds:
            raise NotApplicable("it is neither BERT nor RoBERTa, with pooling or one classifier")
        _require_plain(first)
        self._head = _classifier(model) if isinstance(model, CrossEncoder) else _pooling(model)
        self._encoder = first.model.base_model
        embeddings = self._encoder.embeddings
        # RoBERTa counts positions from the number of its padding token, which itself has none
        self._padding = getattr(embeddings, "padding_idx", None)
        unused = 0 if self._padding is None else self._padding + 1
        if max_tokens > embeddings.position_embeddings.num_embeddings - unused:
            raise NotApplicable("its texts may be longer than it has positions")
        self._pairs = Pairs(model, max_tokens)

    def patched(self, content: Content) -> Content:
        """Unchanged: the model reads texts only."""
        return content

    def shared(self, sources: Sequence[Any], contents: Sequence[Content], *, prompt: str | None) -> None:
        """Nothing: each token of a query sees the document."""

    def prepare(
        self, source: Any, contents: Sequence[Content], *, prompt: str | None, task: str | None, shared: None = None
    ) -> Prepared:
        """Tokens, their types and their positions, [3, tokens], of a text or pair.

        Raises:
            InvalidInput: the tokenizer cannot read it.
        """
        tokens, types = self._pairs.tokens(source, prompt)
        positions = np.arange(len(tokens))
        if self._padding is not None:
            counted = tokens != self._padding
            positions = np.cumsum(counted) * counted + self._padding
        features = np.stack([tokens, types, positions])
        return Prepared(features, len(tokens), nbytes=features.nbytes)

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        """The head's answers, on the model's device; the shortest inputs are computed first."""
        order = np.argsort([prepared.tokens for prepared in batch], kind="stable")
        rows = [batch[place] for place in order]
        device = self._encoder.device
        features = torch.from_numpy(np.concatenate([row.features for row in rows], axis=1)).to(device)
        tokens, types, positions = features[:, None]
        hidden = self._encoder.embeddings(tokens, types, positions)[0]
        answers = self._answers(hidden, Runs([row.tokens for row in rows], device, ALIKE[device.type]))
        return answers[torch.from_numpy(np.argsort(order)).to(device)]

    def _answers(self, hidden: torch.Tensor, runs: Runs) -> torch.Tensor:
        head, layers = self._head, self._encoder.encoder.layer
        if head.of_firsts:
            firsts = encoded_for_firsts(layers, hidden, runs)
            return head.after(head.read(firsts[:, None], None))
        hidden = encoded(layers, hidden, runs)
        return head.after(
            torch.cat([head.read(run.rows.side_by_side(hidden[run.tokens]), run.rows.filled) for run in runs])
        )


def _require_plain(first: Any) -> None:
    """
    Raises:
        NotApplicable: it is told to compute in another way than encoders do.
    """
    config = first.model.config
    if config.is_decoder or config.add_cross_attention:
        raise NotApplicable("it is a decoder")
    if getattr(config, "position_embedding_type", None) not in (None, "absolute"):
        raise NotApplicable("its positions are relative")
    if getattr(first.model, "_hf_peft_config_loaded", False):
        raise NotApplicable("it has adapters")
    if config._attn_implementation != "sdpa":
        raise NotApplicable(f"its attention is {config._attn_implementation}")


def _classifier(model: Any) -> Head:
    """
    Raises:
        NotApplicable: its score is none of its own classifier, or there are several.
    """
    whole = model[0].model
    if len(model) != 1 or _output(model[0]) != "logits":
        raise NotApplicable("its score is not what its classifier says")
    if whole.num_labels != 1:
        raise NotApplicable(f"it gives {whole.num_labels} scores")
    pooler = whole.base_model.pooler  # BERT's; RoBERTa's classifier does what it would

    def read(firsts: torch.Tensor, filled: torch.Tensor | None) -> torch.Tensor:
        answer: torch.Tensor = whole.classifier(firsts if pooler is None else pooler(firsts))
        return answer

    return Head(of_firsts=True, read=read, after=torch.nn.Identity())


def _pooling(model: Any) -> Head:
    """Sentence Transformers' own, of whichever mode, and what comes after.

    Raises:
        NotApplicable: the model does not pool its tokens, or leaves those of prompts out.
    """
    first, *others = model
    if _output(first) != "last_hidden_state" or not others or not isinstance(pooling := others[0], Pooling):
        raise NotApplicable("it does not pool its last layer")
    if not pooling.include_prompt:
        raise NotApplicable("its pooling leaves prompts out")
    after = through_plain(others[1:], "pooling")

    def read(hidden: torch.Tensor, filled: torch.Tensor | None) -> torch.Tensor:
        mask = {} if filled is None else {"attention_mask": filled}
        answer: torch.Tensor = pooling({"token_embeddings": hidden, **mask})["sentence_embedding"]
        return answer

    return Head(of_firsts=pooling.pooling_mode == "cls", read=read, after=after)


def _output(first: Any) -> str | None:
    """What of the model's answer is taken for a text; None: it is asked in another way."""
    asked = first.modality_config["text"]
    return asked["method_output_name"] if asked["method"] == "forward" else None
