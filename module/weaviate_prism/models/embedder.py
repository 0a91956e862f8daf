"""Any embedder that Sentence Transformers loads, through its public preprocess and forward (tier 0)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.util import batch_to_device

from weaviate_prism.config import Settings
from weaviate_prism.models import loading
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.features import join, padding_of
from weaviate_prism.models.preprocess import Preprocessor, clips_in
from weaviate_prism.models.threads import forward_threads, use_threads
from weaviate_prism.values import ModelInfo, Task

# The prompts that `encode_query` and `encode_document` look for, in this order.
PROMPT_NAMES = {Task.QUERY: ("query",), Task.DOCUMENT: ("document", "passage", "corpus")}


class SentenceEmbedder:
    """Vectors equal to `SentenceTransformer.encode_query` / `encode_document` on the same weights."""

    def __init__(self, model: SentenceTransformer, info: ModelInfo) -> None:
        self.info = info
        self._model = model.eval()
        self._preprocessor = Preprocessor(model, info.max_tokens)
        self._padding = padding_of(model)
        self._threads = forward_threads(model)
        self.identity = _identity(model, info)

    @property
    def joint(self) -> bool:
        return self._preprocessor.messages

    def prepare(self, contents: Sequence[Content], task: Task, instruction: str) -> Prepared:
        """See `models.base.Embedder`."""
        inputs = self._preprocessor
        if any(not isinstance(content, str) for content in contents):
            # media may not be cut away by a long text beside them
            contents = [inputs.capped(content, self.info.max_tokens // 2) for content in contents]
        content = [inputs.message("user", contents)] if inputs.messages else inputs.plain(contents[0])
        prompt = inputs.instruction(instruction) or self._prompt(task)
        return inputs.prepare(content, clips_in(contents), prompt=prompt, task=task.value)

    def forward(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """See `models.base.Embedder`."""
        use_threads(self._threads)
        features = join([prepared.features for prepared in batch], **self._padding)
        options = {"task": features["task"]} if "task" in features else {}
        try:
            with torch.inference_mode():
                features = self._model(batch_to_device(features, self._model.device), **options)
                vectors: torch.Tensor = features["sentence_embedding"].float().cpu()
        except RuntimeError as error:
            raise loading.device_errors(error, self.info.device) from error
        return np.asarray(vectors.numpy(), dtype=np.float32)

    def _prompt(self, task: Task) -> str | None:
        prompts = self._model.prompts
        for name in PROMPT_NAMES[task]:
            if name in prompts:
                return prompts[name] or None
        default = self._model.default_prompt_name
        return prompts.get(default) if default else None


def load(settings: Settings) -> SentenceEmbedder:
    """Loads the embedder that the settings name.

    Raises:
        ModelError: see `models.loading`.
    """
    source = loading.source_of(settings.embedder, settings.embedder_revision, settings)
    loading.require_module_list(source)
    device = loading.device_of(settings)
    dtype = loading.dtype_of(settings, device)
    model = SentenceTransformer(source.location, device=device, model_kwargs={"dtype": dtype}, **source.options())
    if isinstance(model[-1], Normalize):
        del model[-1]  # normalised by the engine in fp32: in bf16 the norms come out as 0.998
    info = ModelInfo(
        name=source.name,
        kind="embedder",
        revision=loading.revision_of(source, model),
        modalities=loading.modalities_of(model),
        dimensions=int(model.get_embedding_dimension() or 0),
        max_tokens=loading.limit_tokens(model),
        dtype=str(dtype).removeprefix("torch."),
        device=device,
        prompts=tuple(name for name, prompt in model.prompts.items() if prompt),
    )
    return SentenceEmbedder(model, info)


def _identity(model: Any, info: ModelInfo) -> str:
    """Name, revision, precision, and a digest of prompts and processor settings."""
    processor = getattr(model[0], "processor", None)
    settings = repr((sorted(model.prompts.items()), model.default_prompt_name, repr(processor)))
    return f"{info.name}@{info.revision}:{info.dtype}:{hashlib.sha256(settings.encode()).hexdigest()}"
