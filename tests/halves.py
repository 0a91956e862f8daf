"""Objects whose picture and caption each hold half of what is searched for, and how well a search finds them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weaviate_prism.bundled.scenes import Facts, Kind, Scene, make_scenes

TOP = 10


@dataclass(frozen=True)
class Halved:
    """A scene, and how an object shows one half of it and tells the other."""

    scene: Scene
    shown: Scene
    caption: str

    @property
    def query(self) -> str:
        """It states both halves, in other words than the caption's."""
        return self.scene.queries[1].text


def halved(kind: Kind, count: int, seed: int) -> list[Halved]:
    """Scenes of a `pair` or a `clip`, all different: the picture shows the first thing, the caption tells the rest.

    `a red star to the left of a blue circle` is a picture of a large red star, and `to the left of a blue circle`.
    """
    return [_half_shown(scene) for scene in make_scenes(count, seed, (kind,))]


def _half_shown(scene: Scene) -> Halved:
    facts = scene.facts
    thing = f"a {facts.colour} {facts.shape} "
    assert scene.caption.startswith(thing)
    shown = Facts("group", facts.colour, facts.shape, size="large", count="one")
    return Halved(scene, Scene(shown, scene.seed), scene.caption.removeprefix(thing))


def ndcg(found: Iterable[Sequence[int]]) -> float:
    """The mean nDCG@10 of one search for each object, in their order: the numbers of what it found, best first.

    Only the object itself is right.
    """
    firsts = [list(order[:TOP]) for order in found]
    gains = [1 / math.log2(2 + order.index(own)) if own in order else 0.0 for own, order in enumerate(firsts)]
    return math.fsum(gains) / len(gains)
