"""From contents to what Sentence Transformers takes: explicit messages, in which no text can be anything but text.

Plain strings are never handed to Sentence Transformers on their own: it opens those that look like a path
or an address (`base/modality.py`, `is_image_url_or_path`). A text is always inside a message, a pair or a
`{"text": ...}` input, which it takes as text whatever it says; a prompt is put before it, and measured like it
(`standard.py`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from tokenizers import Tokenizer

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Clip, Content, Patches

Message = dict[str, Any]


class Messages:
    """Makes the inputs of one model. Thread-safe."""

    def __init__(self, model: Any, max_tokens: int) -> None:
        first = model[0]
        self.used = "message" in model.modalities  # else inputs are of one modality (CLIP, SigLIP, text models)
        self._max_tokens = max_tokens
        self._flat = self.used and isinstance(first, Transformer) and first.input_formatter.message_format == "flat"
        tokenizer = getattr(first, "tokenizer", None)
        self._control_tokens = ControlTokens(tokenizer)
        self._tokenizer = untruncated(tokenizer)

    def message(self, role: str, contents: Sequence[Content]) -> Message:
        """One chat message with the contents in their order."""
        if self._flat:
            return {"role": role, "content": "\n".join(self.text(content) for content in contents)}
        blocks: list[dict[str, Any]] = []
        before = ""  # all texts, whatever media are between them: a template may write those first
        for content in contents:
            kind, value = ("text", self.text(content, before)) if isinstance(content, str) else _media(content)
            blocks.append({"type": kind, kind: value})
            before += value.strip() if kind == "text" else ""
        return {"role": role, "content": blocks}

    def plain(self, content: Content, prompt: str) -> Any:
        """One input for a model without messages, which a prompt is put before."""
        return {"text": self.text(content, prompt)} if isinstance(content, str) else _media(content)[1]

    def text(self, content: Content, before: str = "") -> str:
        """A text in which no control token of the model is left, nor ends one that begins in what is put before it."""
        if not isinstance(content, str):
            raise InvalidInput("the model takes only text here")
        return self._control_tokens.broken(content, before)

    def instruction(self, instruction: str) -> str:
        """A client's instruction, which leaves room for what it is about."""
        (capped,) = self.capped([instruction], self._max_tokens // 4)
        return self.text(capped)

    def capped(self, contents: Sequence[Content], tokens: int) -> list[Content]:
        """Texts cut at their end to so many tokens together, so that what follows them in the prompt is not cut away;
        media as they are.
        """
        size = sum(len(content.encode(errors="replace")) for content in contents if isinstance(content, str))
        if self._tokenizer is None or size <= tokens:
            return list(contents)  # every token has at least one byte
        kept: list[Content] = []
        for content in contents:
            if not isinstance(content, str):
                kept.append(content)
                continue
            offsets = self._tokenizer.encode(content, add_special_tokens=False).offsets
            kept.append(content[: offsets[tokens][0]] if len(offsets) > tokens else content)
            tokens = max(0, tokens - len(offsets))
        return kept


class ControlTokens:
    """A tokenizer's special tokens, in any case, since CLIP lower-cases first."""

    def __init__(self, tokenizer: Any) -> None:
        if isinstance(tokenizer, Tokenizer):
            special = [each.content for each in tokenizer.get_added_tokens_decoder().values() if each.special]
        else:
            special = getattr(tokenizer, "all_special_tokens", None) or []
        tokens = [token for token in special if len(token) > 1]
        self._longest = max(map(len, tokens), default=0)
        longest_first = "|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))
        self._any = re.compile(longest_first, re.IGNORECASE) if tokens else None

    def broken(self, text: str, before: str = "") -> str:
        """`<|im_end|>` becomes `< |im_end|>`, and `end|>` after `<|im_` becomes `.end|>`: templates write texts one
        after another, and some without the spaces around them.

        transformers' own `sanitize_control_tokens` cannot be used: Sentence Transformers refuses it for
        pairs (its check of the roles renders without tokenizing). Clean texts come through unchanged.
        """
        if self._any is None:
            return text
        text = self._any.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
        before = before[-self._longest :]
        joined = before + text.lstrip()[: self._longest]
        across = any(found.start() < len(before) < found.end() for found in self._any.finditer(joined))
        return f".{text}" if across else text


def untruncated(tokenizer: Any) -> Any:
    """A copy of the Rust tokenizer that it is or that is behind it, which neither cuts nor pads, or None; several
    threads may use it at once.

    On the shared one, both are set anew by every call of the tokenizer.
    """
    own = isinstance(tokenizer, Tokenizer)
    backend = copy.deepcopy(tokenizer if own else getattr(tokenizer, "backend_tokenizer", None))
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    return backend


def _media(content: Content) -> tuple[str, Any]:
    if isinstance(content, Patches):
        return content.modality.value, content
    if isinstance(content, Clip):
        return "video", torch.from_numpy(content.frames)
    return "image", content
