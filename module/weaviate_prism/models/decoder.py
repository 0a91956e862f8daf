"""Qwen3-VL's language model up to its answer: the last token of each input, by its own weights.

A third of transformers' operations, each of which costs a turn of Python's lock or a launch on a GPU. And in the last
layer only the last tokens are computed; the others are needed there as keys and values only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional


class Decoder:
    """`language` is a Qwen3VLTextModel, whose weights are used as they are."""

    def __init__(self, language: Any) -> None:
        self._language = language

    def __call__(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        places: torch.Tensor,
        *,
        mask: torch.Tensor | None,
        levels: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """[batch, width] of the last tokens.

        Args:
            tokens: int64 [batch, tokens], padded on the left.
            positions: int64 [3, batch, tokens].
            places: int64, where pictures are, counted through the whole batch.
            mask: bool [batch, tokens], True where there is no padding; None: there is none at all.
            levels: what is put at those places: instead of the tokens, and added after each of the first layers.
        """
        language = self._language
        hidden = language.embed_tokens(tokens)
        if levels:
            hidden.view(-1, hidden.shape[-1])[places] = levels[0].to(hidden.dtype)
        turns = _turns(*language.rotary_emb(hidden, positions))
        allowed = None if mask is None else _allowed(mask)
        *layers, last = language.layers
        for number, layer in enumerate(layers, 1):
            hidden = _layer(layer, hidden, turns, allowed)
            if number < len(levels):
                hidden.view(-1, hidden.shape[-1]).index_add_(0, places, levels[number].to(hidden.dtype))
        return _normed(language.norm, _layer(last, hidden, turns, allowed, last_only=True)[:, -1])


Turns = tuple[torch.Tensor, torch.Tensor]


def _layer(
    layer: Any, hidden: torch.Tensor, turns: Turns, allowed: torch.Tensor | None, *, last_only: bool = False
) -> torch.Tensor:
    """One layer; with `last_only` of the last tokens, [batch, 1, width]."""
    attention, mlp = layer.self_attn, layer.mlp
    normed = _normed(layer.input_layernorm, hidden)
    asking = slice(-1, None) if last_only else slice(None)
    heads = (-1, attention.head_dim)
    query = _normed(attention.q_norm, attention.q_proj(normed[:, asking]).unflatten(2, heads))
    key = _normed(attention.k_norm, attention.k_proj(normed).unflatten(2, heads))
    value = attention.v_proj(normed).unflatten(2, heads)
    key = _turned(key, turns)
    if allowed is not None:  # with a mask, CUDA's fast kernels want as many keys as queries
        key, value = (each.repeat_interleave(attention.num_key_value_groups, dim=2) for each in (key, value))
    attended = functional.scaled_dot_product_attention(
        _turned(query, (turns[0][:, asking], turns[1][:, asking])).transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=None if allowed is None else allowed[:, :, asking],
        is_causal=allowed is None and not last_only,
        scale=attention.scaling,
        enable_gqa=allowed is None,
    )
    hidden = hidden[:, asking] + attention.o_proj(attended.transpose(1, 2).flatten(2))
    normed = _normed(layer.post_attention_layernorm, hidden)
    result: torch.Tensor = hidden + mlp.down_proj(mlp.act_fn(mlp.gate_proj(normed)) * mlp.up_proj(normed))
    return result


def _normed(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(hidden, hidden.shape[-1:], norm.weight, norm.variance_epsilon)


def _turns(cosine: torch.Tensor, sine: torch.Tensor) -> Turns:
    """For `_turned`, [batch, tokens, 1, width of a head]."""
    half = sine.shape[-1] // 2
    return cosine[:, :, None], torch.cat((-sine[..., :half], sine[..., half:]), dim=-1)[:, :, None]


def _turned(states: torch.Tensor, turns: Turns) -> torch.Tensor:
    cosine, sine = turns
    return torch.addcmul(states * cosine, states.roll(states.shape[-1] // 2, -1), sine)


def _allowed(mask: torch.Tensor) -> torch.Tensor:
    """Which tokens each one may look at, [batch, 1, tokens, tokens]: those before it, and itself.

    Padding looks at itself alone, for without anything to look at it would be not a number.
    """
    tokens = mask.shape[1]
    before = torch.ones(tokens, tokens, dtype=torch.bool, device=mask.device).tril()
    itself = torch.eye(tokens, dtype=torch.bool, device=mask.device)
    return (before & mask[:, None, :] | itself)[:, None]
