"""The language models of Qwen3-VL, Qwen3 and Qwen2 up to their answer: the last token of each input, by their weights.

Rows are packed, and what they have in common at their start is computed once (`packing.py`). In the last layer only
the last tokens are computed; the others are needed there as keys and values only. A third of transformers' operations,
each of which costs a turn of Python's lock or a launch on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from weaviate_prism.models.packing import Call, Index, Packed, Round
from weaviate_prism.models.pauses import one_by_one
from weaviate_prism.models.tiers import NotApplicable

Turns: TypeAlias = tuple[torch.Tensor, torch.Tensor]
States: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer, [tokens, heads, width]."""

# How many tokens go through an MLP at once on a CPU. What is between its matrices then finds memory that was used
# before; that of all at once, 23 MB each for 10 texts of 249 tokens, comes anew from the system in each layer. That is
# 0.96 of the time; with 512, matrices are slower by 3 %.
AT_ONCE = 1024


class Decoder:
    """`language` is a text model of transformers, whose weights are used as they are.

    Raises:
        NotApplicable: its layers look at a window only, or turn by what else is in the batch.
    """

    def __init__(self, language: Any) -> None:
        self._language = language
        if any(getattr(layer.self_attn, "sliding_window", None) for layer in language.layers):
            raise NotApplicable("its layers look at a sliding window")
        if language.rotary_emb.rope_type in ("dynamic", "longrope"):
            raise NotApplicable("its positions depend on the longest input of a batch")

    @property
    def device(self) -> torch.device:
        device: torch.device = self._language.embed_tokens.weight.device
        return device

    @property
    def token_bytes(self) -> int:
        """What the states of one token take."""
        config = self._language.config
        each = config.num_key_value_heads * self._language.layers[0].self_attn.head_dim
        return int(2 * len(self._language.layers) * each * self._language.embed_tokens.weight.itemsize)

    def __call__(self, batch: Packed, levels: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """[rows, width] of the last tokens of the rows; new prefixes get their states.

        `levels` are put at the places of media: instead of their tokens, and added after each of the first layers.
        """
        language = self._language
        hidden = language.embed_tokens(batch.tokens)
        if levels:
            hidden[batch.places] = levels[0].to(hidden.dtype)
        turns = _turns(*language.rotary_emb(hidden, batch.positions[..., None, :]))
        found: list[list[States]] = [[] for _ in batch.new]
        final, everyone = len(language.layers) - 1, slice(0, len(hidden))
        for number, layer in enumerate(one_by_one(language.layers)):
            normed = _normed(layer.input_layernorm, hidden)
            own = _states(layer.self_attn, normed, turns)
            for of_prefix, span in zip(found, batch.new_spans, strict=True):
                of_prefix.append((own[0][span].clone(), own[1][span].clone()))
            if batch.known:
                own = _together([*(prefix.states[number] for prefix in batch.known), own])
            asking, calls = (batch.last, batch.last_only) if number == final else (everyone, batch.everyone)
            attended = _attended(layer.self_attn, _taken(normed, asking), turns, asking, own, calls)
            hidden = _taken(hidden, asking).add_(attended)
            _feed_forward(layer, hidden)
            if number + 1 < len(levels) and number < final:
                hidden.index_add_(0, batch.places, levels[number + 1].to(hidden.dtype))
        for prefix, of_prefix in zip(batch.new, found, strict=True):
            prefix.states = tuple(of_prefix)
        return _normed(language.norm, hidden)


def _states(attention: Any, normed: torch.Tensor, turns: Turns) -> States:
    heads = (-1, attention.head_dim)
    key = _normed_heads(attention, "k_norm", attention.k_proj(normed).unflatten(1, heads))
    return _turned(key, turns), attention.v_proj(normed).unflatten(1, heads)


def _together(several: Sequence[States]) -> States:
    keys, values = zip(*several, strict=True)
    return torch.cat(keys), torch.cat(values)


def _attended(
    attention: Any, normed: torch.Tensor, turns: Turns, asking: Index, states: States, calls: Round
) -> torch.Tensor:
    """[tokens that ask, width]"""
    query = _normed_heads(attention, "q_norm", attention.q_proj(normed).unflatten(1, (-1, attention.head_dim)))
    query = _turned(query, (_taken(turns[0], asking), _taken(turns[1], asking)))
    answers = [_call(attention, query, states, call) for call in calls.calls]
    together = answers[0] if len(answers) == 1 else torch.cat(answers)
    projected: torch.Tensor = attention.o_proj(_taken(together, calls.order))
    return projected


def _call(attention: Any, query: torch.Tensor, states: States, call: Call) -> torch.Tensor:
    """[rows * tokens that ask, heads * width]"""
    rows = (call.rows, -1)
    key, value = (_taken(each, call.keys).unflatten(0, rows) for each in states)
    # With a mask, CUDA's fast kernels want as many keys as queries. A CPU's do not, and would take 1.02 times as long
    # for texts of 249 tokens, and 1.11 for 32 of 30 behind a start of 100.
    repeated = call.mask is not None and query.is_cuda
    if repeated:
        key, value = (each.repeat_interleave(attention.num_key_value_groups, dim=2) for each in (key, value))
    attended = functional.scaled_dot_product_attention(
        _taken(query, call.asking).unflatten(0, rows).transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=call.mask,
        is_causal=call.is_causal,
        scale=attention.scaling,
        enable_gqa=not repeated,
    )
    return attended.transpose(1, 2).flatten(2).flatten(0, 1)


def _feed_forward(layer: Any, hidden: torch.Tensor) -> None:
    """Adds what its MLP answers."""
    mlp = layer.mlp
    for some in hidden.split(AT_ONCE if hidden.device.type == "cpu" else len(hidden)):
        normed = _normed(layer.post_attention_layernorm, some)
        some.add_(mlp.down_proj(mlp.act_fn(mlp.gate_proj(normed)).mul_(mlp.up_proj(normed))))


def _taken(states: torch.Tensor, places: Index) -> torch.Tensor:
    if not isinstance(places, slice):
        return states.index_select(0, places)
    return states if places.stop - places.start == len(states) else states[places]


def _normed(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(hidden, hidden.shape[-1:], norm.weight, norm.variance_epsilon)


def _normed_heads(attention: Any, name: str, states: torch.Tensor) -> torch.Tensor:
    """Qwen2 has no such norms."""
    norm = getattr(attention, name, None)
    return states if norm is None else _normed(norm, states)


def _turns(cosine: torch.Tensor, sine: torch.Tensor) -> Turns:
    """For `_turned`, [tokens, 1, width of a head]; from [1, tokens, width of a head]."""
    half = sine.shape[-1] // 2
    return cosine[0, :, None], torch.cat((-sine[..., :half], sine[..., half:]), dim=-1)[0, :, None]


def _turned(states: torch.Tensor, turns: Turns) -> torch.Tensor:
    cosine, sine = turns
    return states.roll(states.shape[-1] // 2, -1).mul_(sine).addcmul_(states, cosine)
