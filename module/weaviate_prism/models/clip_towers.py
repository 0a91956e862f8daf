"""CLIP's and SigLIP's towers, on their own weights: from tokens and patches to vectors."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch.nn import functional

from weaviate_prism.models.encoder import Rows, encoded, encoded_for
from weaviate_prism.models.rows import Tokens
from weaviate_prism.models.tiers import NotApplicable


class Towers(Protocol):
    """The two towers of one family."""

    filled_up: bool  # whether texts are, to the length that the model was trained with

    def read_of(self, tokens: Tokens) -> Tokens:
        """The tokens of a text that can change its vector."""

    def texts(self, tokens: torch.Tensor, rows: Rows) -> torch.Tensor:
        """[tokens of all texts] -> [texts, dimensions]"""

    def pictures(self, patches: torch.Tensor) -> torch.Tensor:
        """[pictures, patches, values of a patch] -> [pictures, dimensions]"""


class ClipTowers:
    """No token of a text sees a later one, and the first end token is what is read: what follows it changes nothing."""

    filled_up = False

    def __init__(self, model: Any) -> None:
        self._model = model
        self._end = model.text_model.eos_token_id

    def read_of(self, tokens: Tokens) -> Tokens:
        # older configurations say 2, and mean the end token, which has the highest number
        end = tokens.argmax() if self._end == 2 else (tokens == self._end).argmax()
        return tokens[: int(end) + 1]

    def texts(self, tokens: torch.Tensor, rows: Rows) -> torch.Tensor:
        tower = self._model.text_model
        hidden = _embedded(tower.embeddings, tokens, rows)
        ends = encoded_for(rows.last, tower.encoder.layers, hidden, rows, causal=True)
        vectors: torch.Tensor = self._model.text_projection(tower.final_layer_norm(ends))
        return vectors

    def pictures(self, patches: torch.Tensor) -> torch.Tensor:
        tower = self._model.vision_model
        marks = tower.embeddings.class_embedding.expand(len(patches), 1, -1)
        hidden = torch.cat([marks, _projected(tower.embeddings, patches)], dim=1)
        hidden = hidden + tower.embeddings.position_embedding.weight
        rows = Rows([hidden.shape[1]] * len(hidden), hidden.device)
        firsts = rows.last - (hidden.shape[1] - 1)
        seen = encoded_for(firsts, tower.encoder.layers, tower.pre_layrnorm(hidden).flatten(0, 1), rows)
        vectors: torch.Tensor = self._model.visual_projection(tower.post_layernorm(seen))
        return vectors


class SiglipTowers:
    """All tokens of a text see each other, those that fill it up among them; the last one is what is read.

    Raises:
        NotApplicable: the vision tower does not pool.
    """

    filled_up = True

    def __init__(self, model: Any) -> None:
        self._model = model
        if not model.vision_model.use_head:
            raise NotApplicable("its vision tower does not pool")

    def read_of(self, tokens: Tokens) -> Tokens:
        return tokens

    def texts(self, tokens: torch.Tensor, rows: Rows) -> torch.Tensor:
        tower = self._model.text_model
        hidden = _embedded(tower.embeddings, tokens, rows)
        vectors: torch.Tensor = tower.head(
            tower.final_layer_norm(encoded_for(rows.last, tower.encoder.layers, hidden, rows))
        )
        return vectors

    def pictures(self, patches: torch.Tensor) -> torch.Tensor:
        tower = self._model.vision_model
        hidden = _projected(tower.embeddings, patches) + tower.embeddings.position_embedding.weight
        rows = Rows([hidden.shape[1]] * len(hidden), hidden.device)
        seen = encoded(tower.encoder.layers, hidden.flatten(0, 1), rows)
        vectors: torch.Tensor = tower.head(tower.post_layernorm(rows.side_by_side(seen)))
        return vectors


def _embedded(embeddings: Any, tokens: torch.Tensor, rows: Rows) -> torch.Tensor:
    """[tokens, width]"""
    hidden: torch.Tensor = embeddings.token_embedding(tokens) + embeddings.position_embedding(rows.positions)
    return hidden


def _projected(embeddings: Any, patches: torch.Tensor) -> torch.Tensor:
    """What the convolution makes of patches that do not overlap: one matrix product."""
    convolution = embeddings.patch_embedding
    return functional.linear(patches, convolution.weight.flatten(1), convolution.bias)
