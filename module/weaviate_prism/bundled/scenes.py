"""A small drawn world: what a scene contains, and when a scene answers a query.

A scene is a set of facts and a seed. The facts decide relevance, the seed only where things lie and which tint they
have, so two scenes with equal facts show the same thing in different drawings. Words are in `captions`, pixels in
`drawing`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from typing import Literal

Kind = Literal["group", "pair", "chart", "clip"]

KINDS: tuple[Kind, ...] = ("group", "pair", "chart", "clip")
PICTURE_KINDS: tuple[Kind, ...] = ("group", "pair", "chart")
COLOURS = ("red", "yellow", "green", "blue", "purple", "black")
SHAPES = ("circle", "square", "triangle", "star")
SIZES = ("small", "large")
COUNTS = ("one", "two", "three", "four")
RELATIONS = ("left", "above")
CHARTS = {"line": ("rises", "falls"), "bars": ("rises", "falls"), "pie": ("quarter", "half", "most")}
MOTIONS = ("moves left", "moves right", "moves up", "moves down", "grows", "blinks")


@dataclass(frozen=True)
class Facts:
    """What is true of a scene, or what a query asks for; None is a fact that was not stated."""

    kind: Kind
    colour: str | None = None
    shape: str | None = None
    size: str | None = None
    count: str | None = None
    relation: str | None = None  # the first object lies left of / above the second one
    other_colour: str | None = None
    other_shape: str | None = None
    change: str | None = None  # how a chart runs, what share a pie shows, what happens in a clip

    def differences(self, scene: Facts) -> int:
        """Number of facts stated here that do not hold in `scene`."""
        pairs = zip(astuple(self), astuple(scene), strict=True)
        return sum(asked is not None and asked != found for asked, found in pairs)

    def matches(self, scene: Facts) -> bool:
        """True when every stated fact holds in `scene`."""
        return self.differences(scene) == 0

    def relevance(self, scene: Facts) -> int:
        """Graded relevance: 2 when all stated facts hold, 1 when one of them is wrong, 0 otherwise."""
        return max(0, 2 - self.differences(scene))


FACT_NAMES = tuple(field.name for field in fields(Facts))


@dataclass(frozen=True)
class Query:
    """A text and the facts it asks for."""

    text: str
    facts: Facts


@dataclass(frozen=True)
class Scene:
    """Facts and the seed of one drawing of them."""

    facts: Facts
    seed: int

    @property
    def is_clip(self) -> bool:
        return self.facts.kind == "clip"

    @property
    def caption(self) -> str:
        """The plain sentence that states every fact."""
        return self.queries[0].text

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        """Paraphrases, the full caption first; some leave a fact out (`three red circles` for small ones)."""
        from weaviate_prism.bundled.captions import phrases

        return tuple(phrases(self.facts))


def make_scenes(count: int, seed: int, kinds: Sequence[Kind] = KINDS) -> list[Scene]:
    """`count` scenes with different facts, drawn in turn from each kind until that kind has no more.

    Raises:
        ValueError: when the world holds fewer than `count` different scenes of these kinds.
    """
    rng = random.Random(seed)
    decks = [list(all_facts(kind)) for kind in kinds]
    if count > sum(map(len, decks)):
        raise ValueError(f"only {sum(map(len, decks))} different scenes of {kinds}, {count} asked for")
    for deck in decks:
        rng.shuffle(deck)
    scenes: list[Scene] = []
    while len(scenes) < count:
        decks = [deck for deck in decks if deck]
        scenes += [Scene(deck.pop(), rng.getrandbits(48)) for deck in decks[: count - len(scenes)]]
    return scenes


def random_scene(rng: random.Random, kind: Kind) -> Scene:
    """Any scene of this kind; scenes may repeat, which training wants and an evaluation does not."""
    return Scene(rng.choice(_DECKS[kind]), rng.getrandbits(48))


def all_facts(kind: Kind) -> Iterator[Facts]:
    """Every scene of one kind that the world holds: 192 groups, 1,104 pairs, 42 charts, 144 clips."""
    return {"group": _groups, "pair": _pairs, "chart": _charts, "clip": _clips}[kind]()


def _groups() -> Iterator[Facts]:
    for colour, shape in _objects():
        for size in SIZES:
            for count in COUNTS:
                yield Facts("group", colour, shape, size, count)


def _pairs() -> Iterator[Facts]:
    for colour, shape in _objects():
        for other_colour, other_shape in _objects():
            if (colour, shape) == (other_colour, other_shape):
                continue
            for relation in RELATIONS:
                yield Facts(
                    "pair", colour, shape, relation=relation, other_colour=other_colour, other_shape=other_shape
                )


def _charts() -> Iterator[Facts]:
    for shape, changes in CHARTS.items():
        for change in changes:
            for colour in COLOURS:
                yield Facts("chart", colour, shape, change=change)


def _clips() -> Iterator[Facts]:
    for colour, shape in _objects():
        for change in MOTIONS:
            yield Facts("clip", colour, shape, change=change)


def _objects() -> Iterator[tuple[str, str]]:
    for colour in COLOURS:
        for shape in SHAPES:
            yield colour, shape


_DECKS: dict[Kind, list[Facts]] = {kind: list(all_facts(kind)) for kind in KINDS}
