"""The vision tower on batches of equal size, and how pictures become its input.

Transformers runs the attention of every picture in a Python loop (0.5 ms each); here all pictures of a batch have one
grid, so the same weights run as plain batched attention. `tests/unit/test_scenes.py` holds the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLVisionBlock,
    Qwen3VLVisionModel,
    apply_rotary_pos_emb_vision,
)
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

from weaviate_prism.bundled.architecture import MERGE, PATCH
from weaviate_prism.bundled.drawing import clip_frames, picture
from weaviate_prism.bundled.scenes import Scene

Patches = npt.NDArray[np.uint8]

PICTURE_SIDE = 64
FRAME_SIDE = 48
FRAMES = 8


@dataclass(frozen=True)
class Seen:
    """What the tower makes of N pictures: `layers` is (N, tokens, 1 + deepstack layers, width), merged output first."""

    layers: Tensor

    @property
    def tokens(self) -> int:
        return self.layers.shape[1]


def picture_patches(scene: Scene) -> Patches:
    """uint8 patches (64, 384) of one picture, resized the way the processor does it."""
    small = picture(scene, oversample=1).resize((PICTURE_SIDE,) * 2, Image.Resampling.BICUBIC)
    patches: Patches = patchify(np.asarray(small)[None].repeat(2, 0))[0]
    return patches


def clip_patches(scene: Scene) -> Patches:
    """uint8 patches (4, 36, 384) of eight frames, two frames to a patch."""
    frames = [Image.fromarray(frame) for frame in clip_frames(scene, FRAMES, oversample=1, size=4 * FRAME_SIDE)]
    small = [np.asarray(frame.resize((FRAME_SIDE,) * 2, Image.Resampling.BICUBIC)) for frame in frames]
    return patchify(np.stack(small))


def patchify(frames: Patches) -> Patches:
    """(2 T, H, W, 3) frames to (T, patches, 2 * 3 * PATCH * PATCH), patches in the order of the merge blocks."""
    times, rows, columns = frames.shape[0] // 2, frames.shape[1] // PATCH, frames.shape[2] // PATCH
    blocks = frames.reshape(times, 2, rows // MERGE, MERGE, PATCH, columns // MERGE, MERGE, PATCH, 3)
    ordered = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    patches: Patches = ordered.reshape(times, rows * columns, -1)
    return patches


def look(tower: Qwen3VLVisionModel, patches: Tensor) -> Seen:
    """Run the tower over (N, patches, values) uint8 patches of square pictures."""
    side = int(patches.shape[1] ** 0.5)
    weight = tower.patch_embed.proj.weight
    hidden = functional.linear(patches.float() / 127.5 - 1, weight.flatten(1), tower.patch_embed.proj.bias)
    indices, weights, positions = _grid(side, tower.num_grid_per_side)
    hidden = hidden + (tower.pos_embed(indices) * weights[:, :, None]).sum(1)
    rotary = tower.rotary_pos_emb(hidden, positions)
    deep: list[Tensor] = []
    for index, block in enumerate(tower.blocks):
        hidden = _block(block, hidden, rotary)
        if index in tower.deepstack_visual_indexes:
            merger = tower.deepstack_merger_list[len(deep)]
            deep.append(merger(hidden))
    layers = torch.stack([tower.merger(hidden), *deep])
    return Seen(layers.view(len(layers), len(patches), -1, layers.shape[-1]).permute(1, 2, 0, 3))


def _block(block: Qwen3VLVisionBlock, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    attention = block.attn
    qkv = attention.qkv(block.norm1(hidden)).unflatten(-1, (3, attention.num_heads, attention.head_dim))
    query, key, value = qkv.unbind(2)
    query, key = apply_rotary_pos_emb_vision(query, key, *rotary)
    mixed = functional.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    hidden = hidden + attention.proj(mixed.transpose(1, 2).flatten(2))
    fed: Tensor = hidden + block.mlp(block.norm2(hidden))
    return fed


@lru_cache
def _grid(side: int, table_side: int) -> tuple[Tensor, Tensor, Tensor]:
    grid = torch.tensor([[1, side, side]])
    indices, weights = get_vision_interpolation_indices_and_weights(
        grid, num_grid_per_side=table_side, mode="bilinear", align_corners=True, spatial_merge_size=MERGE
    )
    return indices, weights, get_vision_position_ids(grid, MERGE)
