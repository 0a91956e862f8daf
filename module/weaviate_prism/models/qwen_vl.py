"""Tier 1 for Qwen3-VL: own preparation, and a vision tower that sees each picture and clip of a request once.

    conversation -> the model's template -> tokens, with as many for each picture as its patches fill -> positions
    patches -> vision tower -> put in place of those tokens -> language model -> head

Preparing takes a third of Sentence Transformers' time, and computing beside a decoder 0.6 of it
(`tests/bench/test_tiers.py`); and where its batches hold one kind of input, these hold any.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.modules import Transformer
from transformers.models.qwen3_vl import Qwen3VLForConditionalGeneration, Qwen3VLModel, Qwen3VLProcessor

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Content, Patches, Prepared
from weaviate_prism.models.chat import Chat, readable
from weaviate_prism.models.decoder import Decoder
from weaviate_prism.models.heads import Head
from weaviate_prism.models.packing import Packed
from weaviate_prism.models.patches import Patcher
from weaviate_prism.models.rows import Prefix, Prefixes, Row, Tokens, after, prepared
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.models.vision_tower import VisionTower
from weaviate_prism.values import Modality


class QwenVL:
    """See `models.tiers.PairTier`; of an embedder, nothing is shared.

    Raises:
        NotApplicable: the model is no Qwen3-VL, or asks for something that is not done here.
    """

    name = "qwen-vl"
    media_bytes = 6_000_000  # as bytes: a picture of 1,800 tokens takes 5.5 MB, one of 640x480 0.9 MB

    def __init__(self, model: Any, head: Callable[[Any], Head], max_tokens: int) -> None:
        first = model[0]
        if not isinstance(first, Transformer) or not isinstance(first.processor, Qwen3VLProcessor):
            raise NotApplicable("it has no Qwen3-VL processor")
        self._chat = Chat(first)
        if first.input_formatter.message_format != "structured":
            raise NotApplicable("its messages are flat")
        inner = first.model.model if isinstance(first.model, Qwen3VLForConditionalGeneration) else first.model
        if not isinstance(inner, Qwen3VLModel):
            raise NotApplicable(f"it is a {type(inner).__name__}")
        self._eyes, self._decoder = VisionTower(inner.visual), Decoder(inner.language_model)
        self._head = head(model)
        self._max_tokens = max_tokens
        self._patcher = Patcher(first.processor, self._eyes.token_bytes)
        self.eyes = f"{self._eyes.fingerprint()} {self._patcher.settings}"
        self.wanted_size = self._patcher.wanted_size
        processor = first.processor
        self._clip_mark = processor.video_token
        self._frame_mark = f"{processor.vision_start_token}{processor.video_token}{processor.vision_end_token}"
        self._media_tokens = [processor.image_token_id, processor.video_token_id]
        self._prefixes = Prefixes(self._decoder.token_bytes, self._media_tokens)
        self._merge = processor.image_processor.merge_size
        self._chat.require_cut(model, max_tokens)

    def patched(self, content: Content) -> Content:
        """Pictures and clips as patches; texts as they are."""
        return self._patcher.patches(content)

    def shared(self, sources: Sequence[Any], contents: Sequence[Content], *, prompt: str | None) -> Prefix | None:
        """See `models.tiers.PairTier`."""
        media = self._media(contents)
        with readable():
            return self._prefixes.of([self._row(source, media, prompt) for source in sources])

    def prepare(
        self,
        source: Any,
        contents: Sequence[Content],
        *,
        prompt: str | None,
        task: str | None,
        shared: Prefix | None = None,
    ) -> Prepared:
        """Tokens, positions and patches of one conversation; `contents` are all that are in it, in their order.

        Raises:
            InvalidInput: its media alone are over the model's tokens, or its template has no place for them.
        """
        with readable():
            row = self._cut(self._row(source, self._media(contents), prompt), source)
        return prepared(after(shared, row))

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        """The head's answers, on the model's device."""
        packed = Packed([prepared.features for prepared in batch], self._decoder.device, self._media_tokens)
        levels = self._seen([patches for run in packed.runs for patches in run.media])
        return self._head(self._decoder(packed, levels))

    # -- preparing ----------------------------------------------------------------------------

    def _media(self, contents: Sequence[Content]) -> list[Patches]:
        return [each for each in map(self.patched, contents) if isinstance(each, Patches)]

    def _row(self, conversation: Any, media: Sequence[Patches], prompt: str | None) -> Row:
        pieces = self._chat.text(conversation, prompt).split(self._clip_mark)
        clips = [each for each in media if each.modality is Modality.VIDEO]
        if len(pieces) != len(clips) + 1:
            raise InvalidInput(f"the model's template has {len(pieces) - 1} places for {len(clips)} clips")
        frames = [self._frames(clip) for clip in clips]
        text = "".join(piece + of_clip for piece, of_clip in zip(pieces, [*frames, ""], strict=True))
        return self._filled(self._chat.tokens(text), media)

    def _frames(self, clip: Patches) -> str:
        """What stands for a clip in the text: a place for each frame of patches, after the second it is shown."""
        return "".join(f"<{second:.1f} seconds>{self._frame_mark}" for second in clip.seconds)

    def _filled(self, marked: Tokens, media: Sequence[Patches]) -> Row:
        """Each place repeated for its patches, with the positions of `Qwen3VLModel.get_rope_index`.

        A template may put media in another order than the conversation, but those of one kind in theirs.
        """
        waiting = [_frames_of(media, modality) for modality in (Modality.IMAGE, Modality.VIDEO)]
        tokens, positions, found = [], [], []
        start = position = 0
        for place in np.flatnonzero(np.isin(marked, self._media_tokens)).tolist():
            frame = next(waiting[self._media_tokens.index(marked[place])], None)
            if frame is None:
                raise InvalidInput("the model's template has more places than there are pictures and frames")
            patches, first = frame
            if first:
                found.append(patches)
            rows, columns = (side // self._merge for side in patches.grid[1:])
            tokens += [marked[start:place], np.full(rows * columns, marked[place])]
            positions += [_line(position, place - start), _grid(rows, columns) + (position + place - start)]
            position += place - start + max(rows, columns)
            start = place + 1
        if any(next(of_kind, None) for of_kind in waiting):
            raise InvalidInput("the model's template has fewer places than there are pictures and frames")
        tokens.append(marked[start:])
        positions.append(_line(position, len(marked) - start))
        return Row(np.concatenate(tokens), np.concatenate(positions, axis=1), tuple(found))

    def _cut(self, row: Row, conversation: Any) -> Row:
        """An input that is too long without the end of its last text, but with all that the template puts after it.

        Sentence Transformers keeps that of texts only: beside media its answer is that of a word somewhere in the text.
        """
        cut = self._chat.cut(row.tokens, conversation, self._max_tokens)
        if len(cut) == len(row.tokens):
            return row
        before, now = (np.isin(tokens, self._media_tokens).sum() for tokens in (row.tokens, cut))
        if now < before:
            raise InvalidInput(f"pictures and clips, with what is before them, are over {self._max_tokens} tokens")
        return Row(cut, row.positions[:, : len(cut)], row.media)

    # -- on the device ------------------------------------------------------------------------

    def _seen(self, media: Sequence[Patches]) -> list[torch.Tensor]:
        """What the vision tower makes of them, one after another, for the input and for the first layers.

        Each [tokens of all media, width]; none without media. What it has seen before, it does not look at again.
        """
        # the pixels in hand: the thread of another model with the same tower may be about to drop them
        pixels = {each: each.pixels for each in media}
        new = [each for each in pixels if pixels[each] is not None]
        if new:
            new.sort(key=lambda each: math.prod(each.grid[1:]))  # the tower takes frames of one size together
            weight = self._eyes.weight
            on_device = self._patcher.on_device(
                [(each.modality, pixels[each]) for each in new], weight.device, weight.dtype
            )
            levels = self._eyes(on_device, [each.grid for each in new])
            sizes = [math.prod(each.grid) // self._merge**2 for each in new]
            for each, *of_levels in zip(new, *(level.split(sizes) for level in levels), strict=True):
                # a part would keep the whole of it in memory
                each.seen = tuple(level.clone() if len(new) > 1 else level for level in of_levels)
                each.pixels = None
        return [torch.cat(level) for level in zip(*(each.seen for each in media), strict=True)]


def _frames_of(media: Sequence[Patches], modality: Modality) -> Iterator[tuple[Patches, bool]]:
    """Pictures, or all frames of all clips, and whether it is the first of its clip."""
    for each in media:
        if each.modality is modality:
            yield from ((each, frame == 0) for frame in range(each.grid[0]))


def _line(start: int, length: int) -> Tokens:
    """Positions of a text."""
    return np.broadcast_to(np.arange(start, start + length), (3, length))


@functools.lru_cache(maxsize=128)
def _grid(rows: int, columns: int) -> Tokens:
    """Positions of a picture, or of one frame of a clip, from its first."""
    return np.stack([np.zeros(rows * columns, np.int64), *np.indices((rows, columns)).reshape(2, -1)])
