"""The layers of CLIP's and SigLIP's towers, on their own weights, without what nobody reads.

Rows stand one after another without padding; only attention sees them side by side. Where one token of each row is
read, the last layer is computed for no other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers.activations import QuickGELUActivation

from weaviate_prism.models.pauses import one_by_one

QUICK_GELU = 1.702


class Rows:
    """Where the tokens of each row are."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        self._shape = len(lengths), max(lengths)
        filled = np.arange(max(lengths)) < np.array(lengths)[:, None]
        _, places = np.nonzero(filled)
        self.positions = torch.from_numpy(places).to(device)  # [tokens]: of each in its row
        self.last = torch.from_numpy(np.cumsum(lengths) - 1).to(device)  # [rows]: the last token of each
        # [rows, longest]: where there is a token, side by side; None: everywhere
        self.filled = None if filled.all() else torch.from_numpy(filled).to(device)
        self._spots = torch.from_numpy(np.flatnonzero(filled)).to(device)

    def side_by_side(self, tokens: torch.Tensor) -> torch.Tensor:
        """[tokens, width] -> [rows, longest, width]; zeros where there is no token."""
        if self.filled is not None:
            room = tokens.new_zeros(math.prod(self._shape), tokens.shape[1])
            tokens = room.index_copy_(0, self._spots, tokens)
        spread: torch.Tensor = tokens.unflatten(0, self._shape)
        return spread

    def one_after_another(self, tokens: torch.Tensor) -> torch.Tensor:
        """[rows, longest, width] -> [tokens, width]"""
        tokens = tokens.flatten(0, 1)
        return tokens if self.filled is None else tokens[self._spots]


def encoded(layers: Sequence[Any], hidden: torch.Tensor, rows: Rows, *, causal: bool = False) -> torch.Tensor:
    """[tokens, width] -> [tokens, width]; `causal` lets no token see a later one of its row.

    Other rows must be equally long.
    """
    for layer in one_by_one(layers):
        normed = layer.layer_norm1(hidden)
        project = layer.self_attn
        queries, keys, values = (
            _heads(layer, rows.side_by_side(of_all(normed)))
            for of_all in (project.q_proj, project.k_proj, project.v_proj)
        )
        seen = functional.scaled_dot_product_attention(queries, keys, values, is_causal=causal, scale=project.scale)
        hidden = _layer_after(layer, hidden, rows.one_after_another(seen.transpose(1, 2).flatten(2)))
    return hidden


def encoded_for(
    read: torch.Tensor, layers: Sequence[Any], hidden: torch.Tensor, rows: Rows, *, causal: bool = False
) -> torch.Tensor:
    """[tokens, width] -> [rows, width]: of one token of each row, which sees all of its row."""
    *before, last = layers
    hidden = encoded(before, hidden, rows, causal=causal)
    normed = last.layer_norm1(hidden)
    project = last.self_attn
    keys, values = (_heads(last, rows.side_by_side(of_all(normed))) for of_all in (project.k_proj, project.v_proj))
    queries = _heads(last, project.q_proj(normed[read])[:, None])
    filled = None if rows.filled is None else rows.filled[:, None, None]
    seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=filled, scale=project.scale)
    return _layer_after(last, hidden[read], seen.flatten(1))


def _heads(layer: Any, states: torch.Tensor) -> torch.Tensor:
    """[rows, longest, width] -> [rows, heads, longest, width of a head]"""
    heads: torch.Tensor = states.unflatten(2, (-1, layer.self_attn.head_dim))
    return heads.transpose(1, 2)


def _layer_after(layer: Any, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """The rest of a layer, once attention has seen."""
    hidden = hidden + layer.self_attn.out_proj(seen)
    return hidden + _mlp(layer.mlp, layer.layer_norm2(hidden))


def _mlp(mlp: Any, hidden: torch.Tensor) -> torch.Tensor:
    """x·sigmoid(1.702 x) is silu(1.702 x) / 1.702, and both factors come free with the matrix products.

    That is one pass over the activations instead of three: 0.8 of the time of CLIP ViT-B/32 with 16 pictures.
    """
    if not isinstance(mlp.activation_fn, QuickGELUActivation):
        answer: torch.Tensor = mlp(hidden)
        return answer
    up, down = mlp.fc1, mlp.fc2
    inner = torch.addmm(up.bias, hidden, up.weight.t(), beta=QUICK_GELU, alpha=QUICK_GELU)
    functional.silu(inner, inplace=True)
    return torch.addmm(down.bias, inner, down.weight.t(), alpha=1 / QUICK_GELU)
