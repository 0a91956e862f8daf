"""Qwen3-VL's vision tower over pictures and clips of all sizes at once, by its own weights.

transformers' forward attends to one picture, or one frame of a clip, after the other: in each layer some 9 operations
for each, where here all of one size share theirs. After every operation a thread waits for Python's lock: with a
decoder at work beside it that was nearly half of the time on two cores. On a GPU every operation is a launch.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

from weaviate_prism.models.pauses import one_by_one

Grid: TypeAlias = tuple[int, int, int]
"""Frames of patches, rows and columns in each."""
Turns: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class VisionTower:
    """`eyes` is a Qwen3VLVisionModel, whose weights are used as they are."""

    def __init__(self, eyes: Any) -> None:
        self._eyes = eyes
        self._of_frame = functools.lru_cache(maxsize=64)(self._indices)  # of the largest, 0.5 MB

    @property
    def weight(self) -> torch.Tensor:
        """One of its weights, whose device and dtype all have."""
        weight: torch.Tensor = self._eyes.patch_embed.proj.weight
        return weight

    @property
    def token_bytes(self) -> int:
        """What all levels of one token take."""
        config = self._eyes.config
        return int((1 + len(config.deepstack_visual_indexes)) * config.out_hidden_size * self.weight.itemsize)

    def fingerprint(self) -> str:
        """Equal for towers of equal weights, settings and dtype. A tower of 0.8 GB takes half a second."""
        seen = hashlib.sha256(self._eyes.config.to_json_string().encode())
        for name, weight in self._eyes.state_dict().items():
            seen.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            seen.update(weight.contiguous().view(-1).view(torch.uint8).cpu().numpy())
        return seen.hexdigest()

    def __call__(self, pixels: torch.Tensor, grids: Sequence[Grid]) -> list[torch.Tensor]:
        """[tokens, width] for the input of the language model, and the same for each of its first layers.

        `pixels` are [patches, values of a patch] of all media one after another, in the order of `grids`.
        """
        eyes = self._eyes
        frames = [(rows, columns) for count, rows, columns in grids for _ in range(count)]
        sizes = [rows * columns for rows, columns in frames]
        indices = zip(*(self._of_frame(*frame) for frame in frames), strict=True)
        nearest, shares, positions = (torch.cat(of_frames).to(pixels.device) for of_frames in indices)
        hidden = linear(pixels, self.weight.flatten(1), eyes.patch_embed.proj.bias)
        hidden = hidden + self._places(nearest, shares).to(hidden.dtype)
        turns = self._turns(hidden, positions)
        deep: list[torch.Tensor] = []
        for number, block in enumerate(one_by_one(eyes.blocks)):
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), turns, sizes)
            hidden = hidden + block.mlp(block.norm2(hidden))
            if number in eyes.deepstack_visual_indexes:
                deep.append(eyes.deepstack_merger_list[len(deep)](hidden))
        return [eyes.merger(hidden), *deep]

    def _places(self, nearest: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """What the tower has learnt about each place of a square grid, stretched over each picture's own."""
        places: torch.Tensor = (self._eyes.pos_embed(nearest) * shares[:, :, None]).sum(1)
        return places

    def _turns(self, hidden: torch.Tensor, positions: torch.Tensor) -> Turns:
        """Cosine and sine by which each patch's row and column turn its queries and keys, [patches, 1, 1, width]."""
        cosine, sine = (each.float()[:, None, None] for each in self._eyes.rotary_pos_emb(hidden, positions))
        half = sine.shape[-1] // 2
        return cosine, torch.cat((-sine[..., :half], sine[..., half:]), dim=-1)

    def _indices(self, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of one frame: for each patch the learnt places nearest to it, their shares, and its row and column."""
        eyes, sizes = self._eyes, torch.tensor([[1, rows, columns]])
        nearest, shares = get_vision_interpolation_indices_and_weights(
            sizes,
            num_grid_per_side=eyes.num_grid_per_side,
            mode=eyes.interpolation_mode,
            align_corners=eyes.interpolation_align_corners,
            spatial_merge_size=eyes.spatial_merge_size,
            kwargs={},
        )
        return nearest, shares, get_vision_position_ids(sizes, eyes.spatial_merge_size, kwargs={})

    @staticmethod
    def _attend(attention: Any, hidden: torch.Tensor, turns: Turns, sizes: Sequence[int]) -> torch.Tensor:
        """Every patch to the patches of its own picture or frame."""
        cosine, sine = turns
        mixed = attention.qkv(hidden).unflatten(1, (3, attention.num_heads, -1))
        turned, values = mixed[:, :2].float(), mixed[:, 2]
        turned = torch.addcmul(turned * cosine, turned.roll(turned.shape[-1] // 2, -1), sine).to(hidden.dtype)
        seen = []
        start = 0
        for size, same in itertools.groupby(sizes):
            count = len(list(same))
            end = start + count * size
            query, key, value = (
                each[start:end].unflatten(0, (count, size)).transpose(1, 2)
                for each in (turned[:, 0], turned[:, 1], values)
            )
            attended = scaled_dot_product_attention(query, key, value, scale=attention.scaling)
            seen.append(attended.transpose(1, 2).flatten(2).flatten(0, 1))
            start = end
        projected: torch.Tensor = attention.proj(torch.cat(seen))
        return projected
