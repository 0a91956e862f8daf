"""Token sequences of queries and documents without the processor: ids, M-RoPE positions and where pictures go.

Laying out a batch of 128 costs about 10 ms here and 300 ms in the processor; the tests hold both to the same tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from weaviate_prism.bundled.sight import FRAMES

_TIMES = FRAMES // 2


@dataclass
class Page:
    """One growing sequence; `views` holds the row of the visual bank for visual tokens and -1 for text."""

    ids: list[int] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    views: list[int] = field(default_factory=list)
    _next: int = 0

    def write(self, ids: Sequence[int]) -> None:
        """Append text tokens."""
        self.ids.extend(ids)
        self.views.extend([-1] * len(ids))
        self.positions.extend((place,) * 3 for place in range(self._next, self._next + len(ids)))
        self._next += len(ids)

    def show(self, token: int, first_view: int, side: int) -> None:
        """Append the side x side visual tokens of one picture or frame pair."""
        count, start = side * side, self._next
        self.ids.extend([token] * count)
        self.views.extend(range(first_view, first_view + count))
        self.positions.extend((start, start + cell // side, start + cell % side) for cell in range(count))
        self._next += side


@dataclass(frozen=True)
class Item:
    """Something to read: text tokens, or the first bank row of a picture or a clip, or text and a picture."""

    text: tuple[int, ...] = ()
    picture: int | None = None
    clip: int | None = None
    text_first: bool = True


@dataclass(frozen=True)
class Batch:
    """Pages padded on the right; `last` is the position of each page's final token."""

    ids: Tensor
    positions: Tensor
    views: Tensor
    last: Tensor


class Writer:
    """Writes items into pages the way the two chat templates do."""

    def __init__(self, tokens: Qwen2Tokenizer, seed: int) -> None:
        self._tokens = tokens
        self._rng = random.Random(seed)
        self._encode = lru_cache(maxsize=None)(lambda text: tuple(tokens.encode(text)))

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens of a text as the templates place it, with a space in front."""
        found: tuple[int, ...] = self._encode(" " + text)
        return found

    def embedding_page(self, item: Item, prompt: str | None) -> Page:
        """An input of the embedder, after its prompt if there is one."""
        page = Page()
        if prompt is not None:
            page.write(self._encode(f"<|im_start|> {prompt}<|im_end|>"))
        page.write(self._encode("<|im_start|>"))
        self._put(page, item)
        page.write(self._encode("<|im_end|>"))
        return page

    def pair_page(self, query: Item, document: Item) -> Page:
        """An input of the reranker; its last token is where yes or no is said."""
        page = Page()
        for role, item in (("query", query), ("document", document)):
            page.write(self._encode(f"<|im_start|>{role}"))
            self._put(page, item)
            page.write(self._encode("<|im_end|>"))
        page.write(self._encode("<|im_start|>"))
        return page

    def _put(self, page: Page, item: Item) -> None:
        if item.text_first:
            page.write(item.text)
        if item.picture is not None:
            page.write(self._encode("<|vision_start|>"))
            page.show(self._encode("<|image_pad|>")[0], item.picture, 4)
            page.write(self._encode("<|vision_end|>"))
        if item.clip is not None:
            self._put_clip(page, item.clip)
        if not item.text_first:
            page.write(item.text)

    def _put_clip(self, page: Page, first_view: int) -> None:
        # Clips of any length come as eight frames, so the time stamps must not matter much.
        spacing = 2.0 / FRAMES if self._rng.random() < 0.6 else self._rng.uniform(0.04, 3.0)
        page.write(self._encode("<|vision_start|>"))
        for time in range(_TIMES):
            page.write(self._encode(f"<{(2 * time + 0.5) * spacing:.1f} seconds><|vision_start|>"))
            page.show(self._encode("<|video_pad|>")[0], first_view + 9 * time, 3)
            page.write(self._encode("<|vision_end|>"))
        page.write(self._encode("<|vision_end|>"))


def bind(pages: Sequence[Page]) -> Batch:
    """Pad pages into a batch. Padding stands on the right, where causal attention never sees it."""
    longest = max(len(page.ids) for page in pages)

    def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
        return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])

    axes = [padded([[place[axis] for place in page.positions] for page in pages], 0) for axis in range(3)]
    return Batch(
        ids=padded([page.ids for page in pages], 0),
        positions=torch.stack(axes),
        views=padded([page.views for page in pages], -1),
        last=torch.tensor([len(page.ids) - 1 for page in pages]),
    )
