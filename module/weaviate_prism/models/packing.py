"""Rows of a batch one after another, without padding, and which of their tokens look at which.

Only attention knows of rows. There those of like length whose prefixes are equally long share a call, filled up on the
right to the longest: what fills them up comes after all that anyone looks at, so that one triangle is the mask of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from weaviate_prism.models.rows import Prefix, Row, Tokens, length_class

Index: TypeAlias = torch.Tensor | slice
"""Places along the first dimension, or a run of them, which takes no copy."""

# Of one call, those of prefixes repeated for each of their rows: 0.8 GB in float32 with the 16 heads of 128 of
# Qwen3-VL-2B. All at once, 100 short documents of a query of 4,000 tokens took ten times that.
MOST_KEYS = 1 << 15


@dataclass(frozen=True, slots=True)
class Call:
    """One call of attention."""

    rows: int
    asking: Index  # [rows * tokens that ask in each], among all that ask
    keys: Index  # [rows * tokens of prefix and row], among those of all computed prefixes and then of the batch
    mask: torch.Tensor | None  # bool [1 or rows, 1, asking, keys], True: looks at it; None: at all
    is_causal: bool = False  # instead of a mask: looks at itself and what is before it


@dataclass(frozen=True, slots=True)
class Round:
    """The calls of a layer."""

    calls: list[Call]
    order: Index  # of what they answer, one after another, to have it in the order of those that ask


class Packed:
    """Prefixes that are to be computed, then rows; tensors are on `device`.

    `media_tokens` are those that stand for pictures and clips.
    """

    def __init__(self, rows: Sequence[Row], device: torch.device, media_tokens: Sequence[int] = ()) -> None:
        rows = [row.alone() for row in rows]
        prefixes = dict.fromkeys(row.prefix for row in rows if row.prefix)
        self.known: list[Prefix] = [prefix for prefix in prefixes if prefix.states]
        self.new: list[Prefix] = [prefix for prefix in prefixes if not prefix.states]
        self.runs: list[Prefix | Row] = [*self.new, *rows]
        lengths = np.array([len(run.tokens) for run in self.runs])
        starts = np.cumsum(lengths) - lengths
        self.new_spans = [slice(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        del self.new_spans[len(self.new) :]
        tokens = np.concatenate([run.tokens for run in self.runs])
        positions = np.concatenate([run.positions for run in self.runs], axis=-1)
        places = np.flatnonzero(np.isin(tokens, media_tokens))
        arrays = (torch.from_numpy(array).to(device) for array in (tokens, positions, places))
        self.tokens, self.positions, self.places = arrays
        self._device = device
        self._lengths, self._starts = lengths, starts
        self._heads = self._prefix_starts()
        self.everyone = self._round(range(len(self.runs)), last_only=False)
        self.last_only = self._round(range(len(self.new), len(self.runs)), last_only=True)
        self.last: Index = self._index((starts + lengths - 1)[len(self.new) :])

    def _prefix_starts(self) -> dict[Prefix | None, int]:
        """Where the keys of each prefix begin: of those computed before, and of those of this batch behind them."""
        starts: dict[Prefix | None, int] = {}
        end = 0
        for prefix in self.known:
            starts[prefix] = end
            end += len(prefix.tokens)
        self._known_tokens = end
        return starts | {prefix: end + int(start) for prefix, start in zip(self.new, self._starts, strict=False)}

    def _round(self, runs: range, *, last_only: bool) -> Round:
        calls, order, answered = [], [], 0
        for prefix_length, numbers in self._groups(runs):
            lengths, starts = self._lengths[numbers], self._starts[numbers]
            longest = int(lengths.max())
            own = starts[:, None] + np.minimum(np.arange(longest), lengths[:, None] - 1)
            keys = own + self._known_tokens
            if prefix_length:
                heads = np.array([self._heads[self._prefix_of(number)] for number in numbers])
                keys = np.concatenate([heads[:, None] + np.arange(prefix_length), keys], axis=1)
            if last_only:
                asking = np.array(numbers) - runs.start
                order.append(np.stack([asking, answered + np.arange(len(numbers))]))
                answered += len(numbers)
                visible = torch.from_numpy(prefix_length + lengths).to(self._device)
                every = torch.arange(prefix_length + longest, device=self._device)
                mask = None if (lengths == longest).all() else (every < visible[:, None])[:, None, None]
                calls.append(Call(len(numbers), self._index(asking), self._index(keys), mask))
            else:
                filled = np.arange(longest) < lengths[:, None]
                order.append(np.stack([own[filled], answered + np.flatnonzero(filled)]))
                answered += own.size
                mask = self._triangle(longest, prefix_length) if prefix_length else None
                calls.append(Call(len(numbers), self._index(own), self._index(keys), mask, not prefix_length))
        asked, answers = np.concatenate(order, axis=1)
        return Round(calls, self._index(answers[np.argsort(asked)]))

    def _groups(self, runs: range) -> Iterator[tuple[int, list[int]]]:
        """The length of their prefixes, and the runs that share a call."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number in runs:
            prefix, length = self._prefix_of(number), int(self._lengths[number])
            groups[len(prefix.tokens) if prefix else 0, length_class(length)].append(number)
        for (prefix_length, _), numbers in groups.items():
            at_once = max(1, MOST_KEYS // (prefix_length + int(self._lengths[numbers].max())))
            yield from ((prefix_length, numbers[at : at + at_once]) for at in range(0, len(numbers), at_once))

    def _prefix_of(self, number: int) -> Prefix | None:
        run = self.runs[number]
        return run.prefix if isinstance(run, Row) else None

    def _triangle(self, tokens: int, before: int) -> torch.Tensor:
        return torch.ones(tokens, before + tokens, dtype=torch.bool, device=self._device).tril(before)[None, None]

    def _index(self, places: Tokens) -> Index:
        places = places.reshape(-1)
        if (np.diff(places) == 1).all():
            return slice(int(places[0]), int(places[-1]) + 1)
        return torch.from_numpy(places).to(self._device)
