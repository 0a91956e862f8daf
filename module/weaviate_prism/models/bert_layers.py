"""The layers of BERT and RoBERTa, on their own weights, without what nobody reads.

Rows stand one after another without padding; only attention sees those of like length side by side. Where the first
token of each row is read, the last layer is computed for no other. Unlike those of `encoder.py`, these layers norm what
they have added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from weaviate_prism.models.encoder import Rows
from weaviate_prism.models.pauses import one_by_one

# On a CPU each thread has so many tokens at once in the wide part of a layer, and the next operation finds them in its
# cache: by 4,320 tokens of MiniLM it takes 0.78 of the time.
PIECE_TOKENS = 1024
# Rows see each other's padding where the shortest has at least this share of the longest. On a CPU a call costs less
# than any padding: texts of 20 to 220 words took 30 ms in 30 calls, 34 in 8, and 62 in one. For GPUs it is a guess.
ALIKE = {"cpu": 1.0, "cuda": 0.5}


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of like length, one after another."""

    tokens: slice  # of the batch
    numbers: slice  # of its rows
    rows: Rows

    @property
    def mask(self) -> torch.Tensor | None:
        """[rows, 1, 1, longest], True where there is a token; None: everywhere."""
        return None if self.rows.filled is None else self.rows.filled[:, None, None]


class Runs:
    """All rows of a batch, by their lengths, which must not fall."""

    def __init__(self, lengths: Sequence[int], device: torch.device, alike: float) -> None:
        ends = np.cumsum(lengths)
        starts = ends - lengths
        self.firsts = torch.from_numpy(starts).to(device)  # [rows]: the first token of each
        self._runs: list[Run] = []
        first = 0
        for after in range(1, len(lengths) + 1):
            if after == len(lengths) or lengths[first] < alike * lengths[after]:
                tokens = slice(int(starts[first]), int(ends[after - 1]))
                self._runs.append(Run(tokens, slice(first, after), Rows(lengths[first:after], device)))
                first = after

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)


def encoded(layers: Sequence[Any], hidden: torch.Tensor, runs: Runs) -> torch.Tensor:
    """[tokens, width] -> [tokens, width]"""
    for layer in one_by_one(layers):
        hidden = _after(layer, hidden, _seen(layer.attention.self, hidden, hidden, runs))
    return hidden


def encoded_for_firsts(layers: Sequence[Any], hidden: torch.Tensor, runs: Runs) -> torch.Tensor:
    """[tokens, width] -> [rows, width]: of the first token of each row, which sees all of its row."""
    *before, last = layers
    hidden = encoded(before, hidden, runs)
    firsts = hidden[runs.firsts]
    return _after(last, firsts, _seen(last.attention.self, firsts, hidden, runs))


def _seen(project: Any, asking: torch.Tensor, hidden: torch.Tensor, runs: Runs) -> torch.Tensor:
    """What each that asks sees of its row, [asking, width]: all tokens, or the first ones of the rows."""
    queries, keys, values = project.query(asking), project.key(hidden), project.value(hidden)
    everyone = asking is hidden
    answers = []
    for run in runs:
        seen = functional.scaled_dot_product_attention(
            _heads(project, run.rows.side_by_side(queries[run.tokens]) if everyone else queries[run.numbers, None]),
            _heads(project, run.rows.side_by_side(keys[run.tokens])),
            _heads(project, run.rows.side_by_side(values[run.tokens])),
            attn_mask=run.mask,
            scale=project.scaling,
        )
        seen = seen.transpose(1, 2).flatten(2)
        answers.append(run.rows.one_after_another(seen) if everyone else seen[:, 0])
    return torch.cat(answers)


def _heads(project: Any, states: torch.Tensor) -> torch.Tensor:
    """[rows, longest, width] -> [rows, heads, longest, width of a head]"""
    heads: torch.Tensor = states.unflatten(2, (-1, project.attention_head_size))
    return heads.transpose(1, 2)


def _after(layer: Any, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """The rest of a layer, once attention has seen: by its own code, which goes token by token."""
    hidden = layer.attention.output(seen, hidden)
    at_once = PIECE_TOKENS * torch.get_num_threads() if hidden.device.type == "cpu" else len(hidden)
    return torch.cat([layer.feed_forward_chunk(piece) for piece in hidden.split(at_once)])
