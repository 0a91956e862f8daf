"""What the reading stages learn from: scenes by their facts, their captions as tokens, their visual tokens precomputed.

The vision tower no longer changes when this is built, so every picture is seen once and read many times.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from weaviate_prism.bundled.pages import Item, Writer
from weaviate_prism.bundled.scenes import (
    CHARTS,
    COLOURS,
    COUNTS,
    KINDS,
    MOTIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    Facts,
    Kind,
    Query,
    Scene,
    all_facts,
)
from weaviate_prism.bundled.seeing import Labels, token_names
from weaviate_prism.bundled.sight import clip_patches, look, picture_patches

Codes = npt.NDArray[np.int64]

_SHAPES = (*SHAPES, *CHARTS)
_CHANGES = ("rises", "falls", "quarter", "half", "most", *MOTIONS)
#: The values of each fact in the order of the fields of Facts; code 0 is "not stated".
FACT_VALUES: tuple[tuple[str, ...], ...] = (
    KINDS,
    COLOURS,
    _SHAPES,
    SIZES,
    COUNTS,
    RELATIONS,
    COLOURS,
    _SHAPES,
    _CHANGES,
)
#: Order of the codes that exchanges the first and the second object.
_SWAP = [0, 6, 7, 3, 4, 5, 1, 2, 8]


def code(facts: Facts) -> list[int]:
    """Facts as numbers, 0 where nothing is stated."""
    pairs = zip(FACT_VALUES, astuple(facts), strict=True)
    return [0 if value is None else values.index(value) + 1 for values, value in pairs]


def differences(asked: Codes, found: Codes) -> Codes:
    """Number of facts stated in each row of `asked` that are different in each row of `found`."""
    wrong = (asked[:, None] != found[None]) & (asked[:, None] != 0)
    return np.asarray(wrong.sum(-1))


@dataclass(frozen=True)
class View:
    """An item and the code of what it states."""

    item: Item
    code: tuple[int, ...]


class Library:
    """All facts of the world, and for each of them phrases and drawings."""

    def __init__(self, tower: Qwen3VLVisionModel, scenes: Sequence[Scene], writer: Writer, seed: int) -> None:
        self.rng = random.Random(seed)
        self.facts = [facts for kind in KINDS for facts in all_facts(kind)]
        self.codes = np.array([code(facts) for facts in self.facts])
        self.of_kind: dict[Kind, list[int]] = defaultdict(list)
        for index, facts in enumerate(self.facts):
            self.of_kind[facts.kind].append(index)
        self.writer = writer
        self._near: dict[int, list[int]] = {}
        self._phrases: dict[int, tuple[Query, ...]] = {}
        self.bank, self.cells, self._drawings = _see_all(tower, scenes)

    def neighbours(self, index: int) -> list[int]:
        """Other facts that are easily taken for these: one fact changed, or two objects that swapped places."""
        if index not in self._near:
            near = differences(self.codes[index : index + 1], self.codes)[0] == 1
            swapped = self.codes[index][_SWAP]
            near |= (self.codes == swapped).all(-1) & (self.codes[index] != swapped).any()
            self._near[index] = np.flatnonzero(near).tolist()
        return self._near[index]

    def add_confusions(self, vectors: Tensor, count: int = 20) -> None:
        """Take the facts that an embedder finds most alike as neighbours too; `vectors` holds one row per facts."""
        scores = (vectors @ vectors.T).fill_diagonal_(-1)
        for index, alike in enumerate(scores.topk(count).indices.tolist()):
            self._near[index] = [*self.neighbours(index), *alike]

    def view(self, form: str, index: int) -> View:
        """A text, title, drawing or both of these facts."""
        makers = {"text": self.text, "title": self.title, "drawing": self.drawing, "both": self.both}
        return makers[form](index)

    def title(self, index: int) -> View:
        """A phrase that leaves no fact out."""
        while True:
            view = self.text(index)
            if view.code == tuple(self.codes[index]):
                return view

    def text(self, index: int) -> View:
        """A random phrase for these facts; one in five is written as a sentence."""
        if index not in self._phrases:
            self._phrases[index] = Scene(self.facts[index], 0).queries
        query = self.rng.choice(self._phrases[index])
        text = query.text
        if self.rng.random() < 0.1:
            text = text[0].upper() + text[1:]
        if self.rng.random() < 0.1:
            text += "."
        return View(Item(text=self.writer.encode(text)), tuple(code(query.facts)))

    def drawing(self, index: int) -> View:
        """A random picture of these facts, or a clip if they are those of a clip."""
        facts = self.facts[index]
        first = self.rng.choice(self._drawings[facts])
        item = Item(clip=first) if facts.kind == "clip" else Item(picture=first)
        return View(item, tuple(self.codes[index]))

    def both(self, index: int) -> View:
        """A picture with its caption, in either order."""
        text, seen = self.text(index), self.drawing(index)
        item = Item(text.item.text, seen.item.picture, seen.item.clip, self.rng.random() < 0.5)
        return View(item, seen.code)


def _see_all(tower: Qwen3VLVisionModel, scenes: Sequence[Scene]) -> tuple[Tensor, Tensor, dict[Facts, list[int]]]:
    """All visual tokens in one table of half precision, what each shows, and the first row of every scene by facts."""
    drawings: dict[Facts, list[int]] = defaultdict(list)
    chunks: list[Tensor] = []
    names: list[Labels] = []
    rows = 0
    for clips in (False, True):
        chosen = [scene for scene in scenes if scene.is_clip == clips]
        for start in range(0, len(chosen), 64):
            part = chosen[start : start + 64]
            chunks.append(_see(tower, part, clips))
            per_scene = len(chunks[-1]) // len(part)
            for scene in part:
                drawings[scene.facts].append(rows)
                names.append(token_names(scene))
                rows += per_scene
    return torch.cat(chunks), torch.from_numpy(np.concatenate(names)), dict(drawings)


@torch.no_grad()
def _see(tower: Qwen3VLVisionModel, scenes: Sequence[Scene], clips: bool) -> Tensor:
    if clips:
        patches = np.concatenate([clip_patches(scene) for scene in scenes])
    else:
        patches = np.stack([picture_patches(scene) for scene in scenes])
    return look(tower, torch.from_numpy(patches)).layers.flatten(0, 1).half()
