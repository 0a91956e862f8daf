"""A forward pass that others overtake between its layers answers as if none had, and so do they."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tiers import loaded_the_standard_way
from tiny import qwen_vl, texts, towers
from weaviate_prism.config import Settings
from weaviate_prism.models import embedder
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.models.pauses import pausing
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Modality, Task

# The way to compute it, and before how many layers a pass pauses: of CLIP's pictures, not before the last one, which a
# single token has for itself.
MODELS: dict[str, tuple[Callable[[Path], Path], str, int]] = {
    "clip": (towers.clip, "clip", 1),
    "siglip": (towers.siglip, "clip", 2),
    "qwen-vl": (qwen_vl.embedder, "qwen-vl", 7),
    "clip, standard": (towers.clip, "standard", 2),
    "qwen-vl, standard": (qwen_vl.embedder, "standard", 7),
    "bert": (texts.text_embedder, "bert", 2),
    "bert, standard": (texts.text_embedder, "standard", 2),
}


def picture(seed: int) -> Pillow.Image:
    return Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, (80, 120, 3), dtype=np.uint8))


def load(directory: Path, tier: str) -> SentenceEmbedder:
    standard = loaded_the_standard_way() if tier == "standard" else contextlib.nullcontext()
    with standard:
        model = embedder.load(ModelSpec("embedder", str(directory)), Settings(device="cpu", dtype="float32"))
    assert model.info.tier == tier
    return model


@pytest.mark.parametrize("name", MODELS)
def test_overtaken_at_every_layer(name: str, tmp_path: Path) -> None:
    make, tier, layers = MODELS[name]
    model = load(make(tmp_path), tier)
    reads_pictures = Modality.IMAGE in model.info.modalities

    def batch(*contents: Content) -> list[Prepared]:
        return [model.prepare([model.patched(content)], Task.DOCUMENT, "") for content in contents]

    def queries() -> list[list[Prepared]]:
        return [batch("a red bicycle"), batch(picture(3) if reads_pictures else "leans")]

    def inserts() -> list[Prepared]:
        return batch(picture(1), picture(2)) if reads_pictures else batch("a wall", "a red")

    alone = np.concatenate([model.forward(query, 1) for query in queries()])
    expected = model.forward(inserts(), 2)
    overtaking, overtaken = [queries() for _ in range(layers)], inserts()
    threads: list[int] = []

    def overtake() -> None:
        threads.append(torch.get_num_threads())
        with pausing(lambda: None):
            answers = np.concatenate([model.forward(query, 1) for query in overtaking.pop()])
        np.testing.assert_array_equal(answers, alone)

    with pausing(overtake):
        found = model.forward(overtaken, 2)
    np.testing.assert_array_equal(found, expected)
    assert threads == [2] * layers
    model.forward(inserts(), 2)
    assert len(threads) == layers  # none but those inside pause
