"""Per-item features of Sentence Transformers, joined into batches.

Preprocessing one item at a time and joining the results here equals preprocessing them together, bit for
bit (a parity test proves it for text, pictures, clips and pairs); it is what lets requests share batches
and keeps one bad item to itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional

# Per-token tensors, [1, tokens], and what fills them up to the longest row. `input_ids` gets the
# tokenizer's own padding token instead.
PADDING = {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0, "mm_token_type_ids": 0}

# Beginnings of keys whose tensors have rows for each picture or clip, so that those of several inputs may follow each
# other.
ROWS = "pixel_", "image_", "video_"

# [texts]: where each text of a `StaticEmbedding` begins among the tokens of all, which nothing fills up.
STARTS = "offsets"


def group_of(features: Mapping[str, Any]) -> Hashable:
    """Inputs with equal groups may be joined: same keys, same shapes but for length, same settings.

    One with a tensor that is not known to be joined has a group of its own.
    """
    return tuple(sorted((key, _signature(key, value)) for key, value in features.items()))


def _signature(key: str, value: Any) -> Hashable:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    if key in PADDING:
        return str(value.dtype)
    if value.shape[:1] != (1,) and not key.startswith(ROWS):
        return object()
    return str(value.dtype), tuple(value.shape[1:])


def tokens_of(features: Mapping[str, Any]) -> int:
    """Of one input."""
    return int(features["input_ids"].shape[-1]) if "input_ids" in features else 0


def length_of(features: Mapping[str, Any]) -> int:
    """Of one input, to which others of its batch are filled up; 0: they are not."""
    return 0 if STARTS in features else tokens_of(features)


def patches_of(features: Mapping[str, Any]) -> int:
    """Of all media of one input."""
    return sum(_patches(value) for key, value in features.items() if key.startswith("pixel_values"))


def _patches(pixels: torch.Tensor) -> int:
    # Qwen-VL processors hand over rows of patches; CLIP-like ones [1, 3, height, width], counted as 16x16.
    return pixels.shape[0] if pixels.ndim == 2 else pixels.numel() // (3 * 16 * 16)


def join(batch: Sequence[Mapping[str, Any]], *, padding_side: str, pad_token: int) -> dict[str, Any]:
    """One batch of features of the same group: tokens padded to the longest row, media one after another."""
    if STARTS in batch[0]:
        return _one_after_another(batch)
    joined: dict[str, Any] = {}
    for key, first in batch[0].items():
        values = [features[key] for features in batch]
        if not isinstance(first, torch.Tensor):
            joined[key] = first
        elif key in PADDING:
            fill = pad_token if key == "input_ids" else PADDING[key]
            joined[key] = torch.cat(_padded(values, padding_side, fill))
        else:
            joined[key] = torch.cat(values)
    return joined


def _one_after_another(batch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    texts = [features["input_ids"] for features in batch]
    starts = torch.tensor([0, *map(len, texts[:-1])]).cumsum(0)
    return {**batch[0], "input_ids": torch.cat(texts), STARTS: starts}


def _padded(rows: Sequence[torch.Tensor], side: str, fill: int) -> list[torch.Tensor]:
    longest = max(row.shape[1] for row in rows)
    missing = [longest - row.shape[1] for row in rows]
    return [
        functional.pad(row, (gap, 0) if side == "left" else (0, gap), value=fill) if gap else row
        for row, gap in zip(rows, missing, strict=True)
    ]


def padding_of(model: Any) -> dict[str, Any]:
    """How `join` fills rows for this model, as its tokenizer would."""
    tokenizer = getattr(model[0], "tokenizer", None)
    return {
        "padding_side": getattr(tokenizer, "padding_side", "right"),
        "pad_token": getattr(tokenizer, "pad_token_id", None) or 0,
    }
