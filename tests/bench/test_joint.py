"""What joint vectors gain over the mean of a caption's and a picture's own, by what the two have to do with each other.

Vectors by gRPC: its mean has the directions of Weaviate's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from halves import Halved, halved, ndcg
from servers import Stack
from weaviate_prism.bundled.drawing import picture_png
from weaviate_prism.bundled.scenes import Scene, make_scenes

SEEDS = (1, 2, 3)


def overruled(seed: int) -> list[Halved]:
    """Groups, each drawn in black with a caption that tells another colour: halves that contradict each other."""
    scenes = [scene for scene in make_scenes(192, seed, ("group",)) if scene.facts.colour != "black"]
    return [
        Halved(each, Scene(replace(each.facts, colour="black"), each.seed), str(each.facts.colour)) for each in scenes
    ]


WORLDS: dict[str, Callable[[int], list[Halved]]] = {
    "144 clips": lambda seed: halved("clip", 144, seed),
    "200 pairs": lambda seed: halved("pair", 200, seed),
    "160 groups that are no black ones": overruled,
}


@pytest.mark.parametrize("world", WORLDS)
def test_joint_and_mean(bundled: Stack, report: Callable[..., None], world: str) -> None:
    figures = {}
    for seed in SEEDS:
        objects = WORLDS[world](seed)
        queries = bundled.prism.vectors([[each.query] for each in objects])
        halves = [(each.caption, picture_png(each.shown)) for each in objects]
        found = {
            "joint": bundled.prism.vectors(halves, fusion="FUSION_JOINT"),
            "mean": bundled.prism.vectors(halves, fusion="FUSION_MEAN"),
            "captions": bundled.prism.vectors([[caption] for caption, _ in halves]),
            "pictures": bundled.prism.vectors([[drawn] for _, drawn in halves]),
        }
        for name, documents in found.items():
            figures[f"{name}_{seed}"] = ndcg(np.argsort(-row, kind="stable").tolist() for row in queries @ documents.T)
    report(**figures)
