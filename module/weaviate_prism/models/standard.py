"""Tier 0: any model that Sentence Transformers loads, through its public preprocess and forward."""

from __future__ import annotations

import copy
import functools
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import batch_to_device
from transformers.modeling_layers import GradientCheckpointingLayer

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Clip, Content, Prepared
from weaviate_prism.models.features import group_of, join, length_of, padding_of, patches_of, tokens_of
from weaviate_prism.models.pauses import pause
from weaviate_prism.models.threads import use_threads

log = logging.getLogger(__name__)

# Of so many prompts each thread remembers the length.
KNOWN_PROMPTS = 64


class Standard:
    """See `models.tiers.Tier`; `output` is what the model calls its answer.

    A tokenizer's padding and truncation are shared mutable state: called from several threads with
    differing settings it returned wrong tokens for 120 of 3,381 inputs, without an error. So every
    thread has its own copy of the processor; the weights are shared. Models whose first module is not
    a `Transformer` are prepared one at a time under a lock.
    """

    name = "standard"
    eyes = ""
    wanted_size = None
    media_bytes = 48_000_000  # as floats: a picture of 1,800 tokens takes 43 MB, one of 640x480 7.4 MB

    def __init__(self, model: Any, output: str, max_tokens: int) -> None:
        self._model = model
        self._output = output
        self._max_tokens = max_tokens
        self._padding = padding_of(model)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._copies = isinstance(model[0], Transformer)
        self._bare = isinstance(model[0], StaticEmbedding)  # which takes strings, and opens none of them
        for layer in model.modules():
            if isinstance(layer, GradientCheckpointingLayer):  # as nearly all layers of transformers are; not MPNet's
                layer.register_forward_pre_hook(lambda *_: pause())
            if isinstance(layer, Transformer):
                layer.unpad_inputs = False  # for FlashAttention it would flatten each input, ready for no batch
                _measure_prompts_as_texts(layer)

    def patched(self, content: Content) -> Content:
        """Unchanged: the model's processor makes patches of each input anew."""
        return content

    def shared(self, sources: Sequence[Any], contents: Sequence[Content], *, prompt: str | None) -> None:
        """Nothing: Sentence Transformers computes each pair whole."""

    def prepare(
        self, source: Any, contents: Sequence[Content], *, prompt: str | None, task: str | None, shared: None = None
    ) -> Prepared:
        """Features, cost and group of one input.

        Raises:
            InvalidInput: the model's processor cannot make features of it, or media alone are over its tokens;
                or a static embedder knows none of its tokens.
        """
        options: dict[str, Any] = {"prompt": prompt, "processing_kwargs": _processing_options(contents)}
        if task is not None:
            options["task"] = task
        try:
            features = self._preprocess([source], options)
        except (ValueError, TypeError, IndexError, KeyError) as error:
            log.warning("the processor refused an input", exc_info=error)
            raise InvalidInput(
                f"the model's processor cannot read it (it may be longer than {self._max_tokens} tokens)"
            ) from None
        features = {key: value for key, value in features.items() if value is not None}
        if task is not None:
            features["task"] = task  # routers read it in the forward pass; it also keeps tasks in batches of their own
        size = sum(value.nbytes for value in features.values() if isinstance(value, torch.Tensor))
        tokens = tokens_of(features)
        if self._bare and not tokens:  # no vector but zeros
            raise InvalidInput("has no token that the model knows")
        return Prepared(features, tokens, patches_of(features), group_of(features), length_of(features), size)

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        """The model's answers, on its device."""
        features = join([prepared.features for prepared in batch], **self._padding)
        options = {"task": features["task"]} if "task" in features else {}
        answer: torch.Tensor = self._model(batch_to_device(features, self._model.device), **options)[self._output]
        return answer

    def _preprocess(self, inputs: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        use_threads(1)  # inputs are prepared side by side
        if self._copies:
            return dict(self._own_module().preprocess(inputs, **options))
        if self._bare:
            inputs = [each["text"] for each in inputs]
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
                _measure_prompts_as_texts(module)
            self._local.module = module
        return module


def _measure_prompts_as_texts(module: Any) -> None:
    """Has it look at no prompt but as a text, and forget those that have not come for long.

    For a pooling that leaves prompts out, a `Transformer` measures each of them as a bare string: where it reads
    pictures, it would fetch an address or open a path. And it would remember all that clients ever send.
    """
    measured = functools.partial(_prompt_length, module)
    module._get_prompt_length = functools.lru_cache(maxsize=KNOWN_PROMPTS)(measured)


def _prompt_length(module: Any, prompt: str, **_: Any) -> int | None:
    """In tokens, without one that ends any text; as `Transformer._get_prompt_length`."""
    features = module.preprocess([{"text": prompt}])
    if "input_ids" not in features:
        return None
    tokens = features["input_ids"][0].tolist()
    return len(tokens) - (tokens[-1] in getattr(module.tokenizer, "all_special_ids", ()))


def _processing_options(contents: Sequence[Content]) -> dict[str, Any]:
    metadata = [_metadata(content) for content in contents if isinstance(content, Clip)]
    if not metadata:
        return {}
    # Sampling again would apply the whole clip's indices to the frames taken (IndexError), and
    # without metadata 24 frames a second are assumed: wrong timestamps, cosine 0.994.
    return {"video": {"video_metadata": metadata, "do_sample_frames": False}}


def _metadata(clip: Clip) -> dict[str, Any]:
    return {
        "fps": clip.fps,
        "total_num_frames": clip.total_frames,
        "duration": clip.seconds,
        "frames_indices": list(clip.indices),
    }
