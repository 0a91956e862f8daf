"""What comes after a model's layers: from what was read of each input to the model's answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import Pooling

from weaviate_prism.models.tiers import NotApplicable

Head: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""From what was read, [batch, width], to the model's answers."""


def through(modules: Sequence[Any]) -> Head:
    """What Sentence Transformers' modules make of pooled vectors, one after another."""

    def head(vectors: torch.Tensor) -> torch.Tensor:
        features: dict[str, Any] = {"sentence_embedding": vectors}
        for module in modules:
            features = module(features)
        answer: torch.Tensor = features["sentence_embedding"]
        return answer

    return head


def through_plain(modules: Sequence[Any], after: str) -> Head:
    """As `through`, of modules that look at nothing but the vectors.

    Raises:
        NotApplicable: naming another one that comes after what the model has.
    """
    if other := [type(each).__name__ for each in modules if not isinstance(each, Dense | Normalize)]:
        raise NotApplicable(f"after its {after} comes {other[0]}")
    return through(modules)


def pooled(model: Any) -> Head:
    """The last token, and whatever comes after pooling.

    Raises:
        NotApplicable: the model pools in another way.
    """
    if len(model) < 2 or not isinstance(pooling := model[1], Pooling) or pooling.pooling_mode != "lasttoken":
        raise NotApplicable("it does not pool the last token")
    return through(list(model)[2:])


def yes_or_no(model: Any) -> Head:
    """The difference of two logits, and of no others; in float32.

    In bfloat16 logits have 8 bits: 64 documents got 48 different scores.

    Raises:
        NotApplicable: the model scores in another way.
    """
    score = model[-1]
    if len(model) != 2 or not isinstance(score, LogitScore):
        raise NotApplicable("its score is more than a logit")
    weights = model[0].model.lm_head.weight
    direction = weights[score.true_token_id].float()
    if score.false_token_id is not None:
        direction = direction - weights[score.false_token_id].float()
    return lambda hidden: hidden.float() @ direction
