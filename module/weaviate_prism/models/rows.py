"""Inputs of a decoder as tokens, and what several of them have in common at their start.

All documents of a query come after the same system prompt, instruction and query. A causal model computes the same for
these whatever follows: once is enough.
"""

from __future__ import annotations

import math
import operator
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import ReferenceType, WeakValueDictionary

import numpy as np
import numpy.typing as npt

from weaviate_prism.models.base import Patches, Prepared

Tokens: TypeAlias = npt.NDArray[np.int64]

# Inputs of up to so many tokens share batches whatever their length; longer ones with those of less than twice theirs.
SHORT_TOKENS = 64


@dataclass(eq=False, slots=True, weakref_slot=True)
class Prefix:
    """What several rows begin with; shared by all of them, and gone with the last one."""

    tokens: Tokens  # [tokens]
    positions: Tokens  # [..., tokens], as of a row
    media: tuple[Patches, ...]  # in the order of their tokens
    nbytes: int = 0  # of its states
    payer: ReferenceType[Any] | None = None  # the row whose cost has it, as long as that lives
    rows: int = 0  # that have been prepared with it
    # Keys and values of each layer, [tokens, heads, width], once they are computed; read and written by the device
    # thread only.
    states: tuple[tuple[Any, Any], ...] = ()


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Row:
    """One input, or what of it comes after its prefix."""

    tokens: Tokens  # [tokens]
    positions: Tokens  # [tokens], or [3, tokens] in time, row and column
    media: tuple[Patches, ...]  # in the order of their tokens
    prefix: Prefix | None = None

    def alone(self) -> Row:
        """Whole, if its prefix is neither computed nor another's as well: for one row, sharing only costs time."""
        prefix = self.prefix
        if prefix is None or prefix.states or prefix.rows > 1:
            return self
        return Row(
            np.concatenate([prefix.tokens, self.tokens]),
            np.concatenate([prefix.positions, self.positions], axis=-1),
            (*prefix.media, *self.media),
        )


class Prefixes:
    """All that are alive of one model. Weaviate sends a search in requests of 32 documents: equal ones are the same.

    `media_tokens` are those that stand for pictures and clips; the states of a token take `token_bytes`. Thread-safe.
    """

    def __init__(self, token_bytes: int, media_tokens: Sequence[int] = ()) -> None:
        self._token_bytes = token_bytes
        self._media_tokens = list(media_tokens)
        self._alive: WeakValueDictionary[tuple[bytes, tuple[Patches, ...]], Prefix] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, rows: Sequence[Row]) -> Prefix | None:
        """What all of these rows begin with, which have the same media; None: nothing."""
        shortest = min(len(row.tokens) for row in rows)
        first, *others = (row.tokens[:shortest] for row in rows)
        same = np.all([first == other for other in others], axis=0)
        length = shortest if same.all() else int(same.argmin())
        media = rows[0].media
        places = np.flatnonzero(np.isin(rows[0].tokens, self._media_tokens))
        if len(places) and places[-1] >= length:  # pictures of equal size have equal tokens, whatever they show
            length, media = min(length, int(places[0])), ()
        if not length:
            return None
        tokens = rows[0].tokens[:length].copy()
        with self._lock:
            key = tokens.tobytes(), media
            prefix = Prefix(tokens, rows[0].positions[..., :length].copy(), media, length * self._token_bytes)
            return self._alive.setdefault(key, prefix)


def after(prefix: Prefix | None, row: Row) -> Row:
    """What of the row comes after the prefix; the row itself if it does not begin with that, or nothing comes after."""
    if prefix is None:
        return row
    length, media = len(prefix.tokens), len(prefix.media)
    begins = len(row.tokens) > length and np.array_equal(row.tokens[:length], prefix.tokens)
    if not begins or len(row.media) < media or any(map(operator.is_not, row.media, prefix.media)):
        return row
    return Row(row.tokens[length:], row.positions[..., length:], row.media[media:], prefix)


def prepared(row: Row) -> Prepared:
    """With its cost. What it shares is paid by whichever row comes first, unless that one is given up before."""
    tokens = len(row.tokens)
    patches, size = 0, row.tokens.nbytes + row.positions.nbytes
    media = row.media
    if prefix := row.prefix:
        media = *prefix.media, *media
        prefix.rows += 1
        if not prefix.states and _unpaid(prefix):
            prefix.payer = weakref.ref(row)
            tokens += len(prefix.tokens)
    for each in media:
        if each.pixels is not None and _unpaid(each):  # the tower looks at it once
            each.payer = weakref.ref(row)
            patches, size = patches + math.prod(each.grid), size + each.nbytes
    return Prepared(row, tokens, patches, length_class(len(row.tokens)), nbytes=size)


def length_class(tokens: int) -> int:
    """Equal for those that share batches, and calls of attention in them."""
    return max(tokens, SHORT_TOKENS).bit_length()


def _unpaid(shared: Prefix | Patches) -> bool:
    return shared.payer is None or shared.payer() is None
