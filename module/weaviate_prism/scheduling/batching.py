"""What fits together into one batch of the device: by its padding, its memory and the time that it takes.

Knows nothing of who is first, nor of models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from weaviate_prism.scheduling.pace import Pace, Shape

# Of what a batch computes, at most so much is padding.
MOST_PADDING = 0.15
# Who goes first waits no longer than this for the batch that runs, unless fixed costs alone are as much.
QUANTUM_SECONDS = 0.05
# Where queries overtake inserts between the pieces of a batch, they wait for the rest of one; who searches again at
# once, for nearly all of it. Behind 12-megapixel JPEGs, texts by CLIP took 1.7 times as long as on an idle service
# (p50), and 3.9 JPEGs were done a second; with 0.03 they took 2.0 times as long, and 5.4 were.
PIECE_SECONDS = 0.02
# A batch is worth its fixed costs where it takes so many times as long; and though somebody waits, twice as long: a
# model of 1 GB takes 0.1 s to be read from memory, whatever is in the batch. What is left of a request is not cut for
# those who wait if it takes no more than the last: each part would have the fixed costs again, and it would only be
# later itself.
WORTH_IT, LEAST_WORTH, SHORT = 20.0, 2.0, 5.0


@dataclass(frozen=True, slots=True)
class Size:
    """Of one input, or of a batch of them."""

    tokens: int = 1
    patches: int = 0
    length: int = 0  # of the longest, to which all are filled up; 0: they are not
    lengths: int = 0  # of all together
    inputs: int = 1

    @classmethod
    def of(cls, tokens: int, patches: int = 0, length: int = 0) -> Size:
        """One input's."""
        return cls(tokens, patches, length, length)

    @property
    def padding(self) -> int:
        """Tokens that fill up what is shorter than the longest."""
        return self.length * self.inputs - self.lengths

    @property
    def computed(self) -> int:
        """Tokens, padding included."""
        return self.tokens + self.padding

    @property
    def shape(self) -> Shape:
        """What its time depends on."""
        return self.inputs, self.computed, self.patches

    @property
    def wasteful(self) -> bool:
        return self.padding > MOST_PADDING * self.computed

    @property
    def level(self) -> int:
        """Equal for those of about the same length: any of them share a batch with little padding."""
        return round(math.log(self.length) / -math.log(1 - MOST_PADDING)) if self.length else 0

    def __add__(self, other: Size) -> Size:
        return Size(
            self.tokens + other.tokens,
            self.patches + other.patches,
            max(self.length, other.length),
            self.lengths + other.lengths,
            self.inputs + other.inputs,
        )


@dataclass(slots=True)
class Limits:
    """On the batches of one stage: most tokens and patches together, padding included, and most seconds."""

    cost: int
    pace: Pace | None = None  # without one, only the cost counts
    pieces: int = 1  # of a batch, between which queries overtake inserts; 1: they do not

    def allow(self, batch: Size, *, hurried: bool, guests: bool, inserts: bool) -> bool:
        """Whether a batch may be as large; `hurried`: others wait. `guests`: it has inputs of others than its first.
        `inserts`: queries overtake it between its pieces, instead of waiting for all of it.

        Somebody waits for a query: it shares its batch with others only as far as that makes up for fixed costs. So
        16 texts for CLIP at once, of 20 ms and 15 more for each, are answered at twice the rate of one by one.
        """
        if batch.wasteful or batch.computed + batch.patches > self.cost:
            return False
        if self.pace is None:
            return True
        fixed = self.pace.fixed
        worth = WORTH_IT * fixed
        most = max(QUANTUM_SECONDS, worth)
        if hurried:
            soon = PIECE_SECONDS * self.pieces if inserts and self.pieces > 1 else QUANTUM_SECONDS
            most = min(most, max(soon, LEAST_WORTH * fixed))
        return self.pace.seconds(batch.shape) <= (min(most, worth) if guests else most)
