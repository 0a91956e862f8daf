"""How long a model takes for a batch: fixed seconds, and some for each input, for each token and for each patch.

Learnt from a few batches when the model is loaded, then corrected by every batch that it runs: another program on
the same cores shows within a few batches. Pure arithmetic, without threads or a clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# How much of the error of one batch is corrected. One that waits for a page fault or another process is no reason to
# think that all others will, however long it took; but none is quick by accident.
RATE_UP, RATE_DOWN, MOST_TIMES = 0.1, 0.2, 4.0
# A tenth of what was expected too little goes to all parts alike: a GPU takes as long for 10 tokens as for 1,000, and a
# part that had no share in small batches would have none in large ones, ever: these were expected 20 times too quick.
ALIKE = 0.1
# What was too quick to be measured is not free: otherwise batches would have no bounds.
LEAST = np.array([1e-6, 1e-9, 1e-9, 1e-9])

Shape: TypeAlias = tuple[int, int, int]
"""Inputs, tokens and patches of a batch, padding included."""


@dataclass(slots=True)
class Pace:
    """Of one model on its device. Used from the device's thread; others only read numbers."""

    parts: npt.NDArray[np.float64] = field(
        default_factory=LEAST.copy
    )  # seconds: fixed, for an input, for a token, for a patch

    @property
    def fixed(self) -> float:
        """Seconds that a batch takes whatever is in it."""
        return float(self.parts[0])

    def seconds(self, shape: Shape) -> float:
        """That a batch takes."""
        return self.fixed + self.more(shape)

    def more(self, shape: Shape) -> float:
        """Seconds by which a batch takes longer with these in it."""
        inputs, tokens, patches = shape
        _, each, token, patch = self.parts.tolist()
        return float(each * inputs + token * tokens + patch * patches)

    def learn(self, runs: Sequence[tuple[Shape, float]]) -> None:
        """From batches and the seconds that they took; of equal ones, the quickest counts."""
        quickest: dict[Shape, float] = {}
        if not runs:
            return
        for shape, seconds in runs:
            quickest[shape] = min(seconds, quickest.get(shape, seconds))
        sizes = np.array([(1, *shape) for shape in quickest], dtype=np.float64)
        self.parts = np.maximum(_non_negative(sizes, np.array(list(quickest.values()))), LEAST)

    def observe(self, shape: Shape, seconds: float) -> None:
        """Corrects each part by about as much of the error as it has in what was expected."""
        counts = np.array((1, *shape), dtype=np.float64)
        expected = self.parts * counts
        total = expected.sum()
        error = min(seconds / total, MOST_TIMES) - 1
        shares = (expected / total) ** 2
        if error > 0:
            there = counts > 0
            shares = (1 - ALIKE) * shares + ALIKE * there / there.sum()
        rate = RATE_UP if error > 0 else RATE_DOWN
        self.parts = np.maximum(self.parts + rate * error * total * shares / np.maximum(counts, 1), LEAST)


def _non_negative(sizes: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The least squares of relative errors, with nothing negative: of all choices of parts, the best that has none."""
    best, least = np.zeros(sizes.shape[1]), np.inf
    scaled, ones = sizes / seconds[:, None], np.ones(len(seconds))
    columns = range(sizes.shape[1])
    for chosen in itertools.chain.from_iterable(itertools.combinations(columns, n) for n in range(1, len(columns) + 1)):
        some = scaled[:, chosen]
        found = np.linalg.lstsq(some, ones)[0]
        off = float(((some @ found - ones) ** 2).sum())
        if (found >= 0).all() and off < least - 1e-9:
            best, least = np.zeros(len(columns)), off
            best[list(chosen)] = found
    return best
