"""Which inputs are taken through the service together: the event loop turns about as often for a unit as for an item.

A unit is small, so that several threads have something to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from weaviate_prism.errors import PrismError
from weaviate_prism.intake import has_media, size_of
from weaviate_prism.values import Item

T = TypeVar("T")

# Inputs of one unit: of one item, or of small ones. A tiny text then costs the engine 0.1 ms of CPU beside the model;
# in units of 8 a sixth more, in units of 64 hardly less.
TOGETHER = 32
# So many more characters take about as long to tokenize as one more text; a query never waits longer for a unit.
CHARACTERS = 512
# Items with media of so many bytes mostly take a few ms, and so few of them share a unit; larger ones are alone.
SMALL_MEDIA_BYTES, MEDIA_TOGETHER = 128_000, 4


def weight_of(item: Item | PrismError, count: int = 1) -> int:
    """How much of a unit an item of so many inputs is."""
    parts = () if isinstance(item, PrismError) else item.parts
    size = sum(map(size_of, parts))
    if has_media(parts):
        return TOGETHER // MEDIA_TOGETHER * count if size <= SMALL_MEDIA_BYTES else TOGETHER
    return max(count, 1) + size // CHARACTERS


def units_of(weighed: Iterable[tuple[T, int]], most: int = TOGETHER) -> list[list[T]]:
    """Neighbours together, up to the weight of a unit; what is over it is alone."""
    units: list[list[T]] = []
    room = 0
    for one, weight in weighed:
        if weight > room or not units:
            units.append([])
            room = most
        units[-1].append(one)
        room -= weight
    return units
