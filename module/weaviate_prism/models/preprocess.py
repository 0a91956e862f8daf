"""From decoded contents to a model's features: explicit messages, one processor per thread, own token limits.

Plain strings are never handed to Sentence Transformers on their own: it opens those that look like a path
or an address (`base/modality.py`, `is_image_url_or_path`). A text is always inside a message or a
`{"text": ...}` input, which it takes as text whatever it says.
"""

from __future__ import annotations

import copy
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Clip, Content, Prepared
from weaviate_prism.models.features import cost_of, group_of
from weaviate_prism.models.threads import use_threads

log = logging.getLogger(__name__)

Message = dict[str, Any]


class Preprocessor:
    """Prepares one input at a time for one model, on any thread.

    A tokenizer's padding and truncation are shared mutable state: called from several threads with
    differing settings it returned wrong tokens for 120 of 3,381 inputs, without an error. So every
    thread has its own copy of the processor; the weights are shared. Models whose first module is not
    a `Transformer` are prepared one at a time under a lock.
    """

    def __init__(self, model: Any, max_tokens: int) -> None:
        self._model = model
        self._max_tokens = max_tokens
        self._local = threading.local()
        self._lock = threading.Lock()
        first = model[0]
        self._copies = isinstance(first, Transformer)
        self.messages = "message" in model.modalities
        self._flat = self.messages and first.input_formatter.message_format == "flat"
        self._tokenizer = getattr(first, "tokenizer", None)
        self._control_tokens = _control_tokens(self._tokenizer)

    def prepare(self, content: Any, clips: Sequence[Clip], *, prompt: str | None, task: str | None) -> Prepared:
        """Features, cost and group of one input as `message` or `plain` or `pair` made it.

        Raises:
            InvalidInput: the model's processor cannot make features of it, or media alone are over its tokens.
        """
        options: dict[str, Any] = {"prompt": prompt, "processing_kwargs": self._processing_options(clips)}
        if task is not None:
            options["task"] = task
        try:
            features = self._preprocess([content], options)
        except (ValueError, TypeError, IndexError, KeyError) as error:
            log.warning("the processor refused an input", exc_info=error)
            raise InvalidInput(
                f"the model's processor cannot read it (it may be longer than {self._max_tokens} tokens)"
            ) from None
        features = {key: value for key, value in features.items() if value is not None}
        if task is not None:
            features["task"] = task  # routers read it in the forward pass; it also keeps tasks in batches of their own
        return Prepared(features, cost_of(features), group_of(features))

    def message(self, role: str, contents: Sequence[Content]) -> Message:
        """One chat message with the contents in their order."""
        if self._flat:
            return {"role": role, "content": "\n".join(self.text(content) for content in contents)}
        return {"role": role, "content": [self._block(content) for content in contents]}

    def plain(self, content: Content) -> Any:
        """One input for a model without messages (CLIP, SigLIP, text embedders)."""
        return {"text": self.text(content)} if isinstance(content, str) else _media(content)[1]

    def text(self, content: Content) -> str:
        """A text in which no control token of the model is left: `<|im_end|>` becomes `< |im_end|>`.

        transformers' own `sanitize_control_tokens` cannot be used: Sentence Transformers refuses it for
        pairs (its check of the roles renders without tokenizing). Clean texts come through unchanged.
        """
        if not isinstance(content, str):
            raise InvalidInput("the model takes only text here")
        if self._control_tokens is None:
            return content
        return self._control_tokens.sub(lambda found: f"{found[0][0]} {found[0][1:]}", content)

    def instruction(self, instruction: str) -> str:
        """A client's instruction, which leaves room for what it is about."""
        return self.text(self.capped(instruction, self._max_tokens // 4))

    def capped(self, content: Content, tokens: int) -> Content:
        """A text cut to so many tokens, so that what follows it in the prompt is not cut away; media as they are."""
        if not isinstance(content, str) or self._tokenizer is None or len(content.encode(errors="replace")) <= tokens:
            return content  # every token has at least one byte
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return content
        with self._lock:  # `encode` follows the truncation set on the shared tokenizer
            offsets = backend.encode(content, add_special_tokens=False).offsets
        return content[: offsets[tokens][0]] if len(offsets) > tokens else content

    def _block(self, content: Content) -> dict[str, Any]:
        kind, value = ("text", self.text(content)) if isinstance(content, str) else _media(content)
        return {"type": kind, kind: value}

    @staticmethod
    def _processing_options(clips: Sequence[Clip]) -> dict[str, Any]:
        if not clips:
            return {}
        # Sampling again would apply the whole clip's indices to the frames taken (IndexError), and
        # without metadata 24 frames a second are assumed: wrong timestamps, cosine 0.994.
        return {"video": {"video_metadata": [_metadata(clip) for clip in clips], "do_sample_frames": False}}

    def _preprocess(self, inputs: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        use_threads(1)  # inputs are prepared side by side
        if self._copies:
            return dict(self._own_module().preprocess(inputs, **options))
        with self._lock:
            return dict(self._model.preprocess(inputs, **options))

    def _own_module(self) -> Any:
        """This thread's copy of the first module: its own processor, everybody's weights."""
        module = getattr(self._local, "module", None)
        if module is None:
            with self._lock:
                module = copy.copy(self._model[0])
                module.processor = copy.deepcopy(module.processor)
                module.input_formatter = copy.copy(module.input_formatter)
                module.input_formatter.processor = module.processor
            self._local.module = module
        return module


def clips_in(contents: Sequence[Content]) -> list[Clip]:
    return [content for content in contents if isinstance(content, Clip)]


def _media(content: Content) -> tuple[str, Any]:
    if isinstance(content, Clip):
        return "video", torch.from_numpy(content.frames)
    return "image", content


def _metadata(clip: Clip) -> dict[str, Any]:
    return {
        "fps": clip.fps,
        "total_num_frames": clip.total_frames,
        "duration": clip.seconds,
        "frames_indices": list(clip.indices),
    }


def _control_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """Special tokens that a client's text may not contain as such; in any case, since CLIP lower-cases first."""
    tokens = [re.escape(token) for token in getattr(tokenizer, "all_special_tokens", None) or [] if len(token) > 1]
    return re.compile("|".join(sorted(tokens, key=len, reverse=True)), re.IGNORECASE) if tokens else None
