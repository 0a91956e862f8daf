"""First stage: the vision tower learns to say, at every visual token, which object has its centre there.

The world knows where it drew what, so one picture gives sixteen labelled tokens; learning to see from yes/no answers
alone took ten times as long. The linear heads that read the labels are thrown away.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from weaviate_prism.bundled.architecture import WIDTH
from weaviate_prism.bundled.drawing import things
from weaviate_prism.bundled.scenes import CHARTS, COLOURS, SHAPES, Kind, Scene, random_scene
from weaviate_prism.bundled.schedule import Clock, optimizer
from weaviate_prism.bundled.sight import FRAMES, clip_patches, look, picture_patches

_FORMS = (*SHAPES, *(f"{shape} {change}" for shape, changes in CHARTS.items() for change in changes))
_HEADS = (len(COLOURS) + 1, len(_FORMS) + 1, 4)  # colour, form, size step; 0 is "no centre here"
_PICTURES, _CLIP_PARTS = 96, 64

Labels = npt.NDArray[np.int64]


class _Namer(nn.Module):
    """Linear heads on each layer that the language model will see."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(WIDTH, sum(_HEADS)) for _ in range(layers))

    def loss(self, layers: Tensor, labels: Tensor, emphasis: float) -> Tensor:
        """Cross-entropy of the three names over all layers and tokens; tokens with an object weigh `emphasis`."""
        weights = torch.where(labels[..., 0] > 0, emphasis, 1.0).flatten()
        total = layers.new_zeros(())
        for index, head in enumerate(self.heads):
            for answer, name in zip(head(layers[:, :, index]).split(_HEADS, -1), labels.unbind(-1), strict=True):
                errors = functional.cross_entropy(answer.flatten(0, 1), name.flatten(), reduction="none")
                total = total + (errors * weights).mean()
        return total / len(self.heads)


def learn_to_see(
    tower: Qwen3VLVisionModel, pictures: Sequence[Scene], clips: Sequence[Scene], clock: Clock, emphasis: float = 1.0
) -> None:
    """Train `tower` in place until the clock runs out."""
    namer = _Namer(1 + len(tower.deepstack_visual_indexes))
    parameters = [*tower.parameters(), *namer.parameters()]
    adam = optimizer(parameters, rate=2e-3)
    stills = _batches(_still_examples(pictures), _PICTURES, clock.seed)
    moving = _batches(_clip_examples(clips), _CLIP_PARTS, clock.seed)
    for step in clock.steps(adam):
        adam.zero_grad()
        loss = torch.zeros(())
        for patches, labels in (next(stills), next(moving)):
            loss = loss + namer.loss(look(tower, patches).layers, labels, emphasis)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        clock.report(step, seeing=loss.item() / 2)


def _batches(examples: tuple[Tensor, Tensor], size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    patches, labels = examples
    generator = torch.Generator().manual_seed(seed)
    while True:
        rows = torch.randint(len(patches), (size,), generator=generator)
        yield patches[rows], labels[rows]


def _still_examples(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    patches = np.stack([picture_patches(scene) for scene in scenes])
    labels = np.stack([token_names(scene) for scene in scenes])
    return torch.from_numpy(patches), torch.from_numpy(labels)


def _clip_examples(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    patches = np.concatenate([clip_patches(scene) for scene in scenes])
    labels = np.concatenate([token_names(scene).reshape(FRAMES // 2, -1, 3) for scene in scenes])
    return torch.from_numpy(patches), torch.from_numpy(labels)


def token_names(scene: Scene) -> Labels:
    """Colour, form and size of what is centred at each visual token, (16, 3) for pictures, (36, 3) for clips."""
    if not scene.is_clip:
        return _names(scene, 0.5, 4)
    moments = [(frame + 0.5) / (FRAMES - 1) for frame in range(0, FRAMES, 2)]
    return np.concatenate([_names(scene, moment, 3) for moment in moments])


def _names(scene: Scene, moment: float, side: int) -> Labels:
    labels = np.zeros((side, side, 3), dtype=np.int64)
    facts = scene.facts
    if facts.kind == "chart":
        labels[:] = COLOURS.index(facts.colour or "") + 1, _FORMS.index(f"{facts.shape} {facts.change}") + 1, 1
    for thing in things(scene, moment):
        step = 1 if thing.radius < 0.11 else 2 if thing.radius < 0.2 else 3
        cell = int(thing.y * side), int(thing.x * side)
        labels[cell] = COLOURS.index(thing.colour) + 1, SHAPES.index(thing.shape) + 1, step
    return labels.reshape(side * side, 3)


def training_scenes(seed: int, pictures: int, clips: int) -> tuple[list[Scene], list[Scene]]:
    """Random scenes to learn from: mostly groups and pairs, every sixth picture a chart."""
    rng = random.Random(seed)
    kinds: tuple[Kind, ...] = ("group", "pair", "group", "pair", "pair", "chart")
    return [random_scene(rng, kinds[index % 6]) for index in range(pictures)], [
        random_scene(rng, "clip") for _ in range(clips)
    ]
