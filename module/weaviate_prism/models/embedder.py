"""Any embedder that Sentence Transformers loads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize

from weaviate_prism.config import Settings
from weaviate_prism.models import loading, table
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.device import on_device
from weaviate_prism.models.heads import pooled
from weaviate_prism.models.memory import check_room
from weaviate_prism.models.messages import Messages
from weaviate_prism.models.qwen_vl import QwenVL
from weaviate_prism.models.standard import Standard
from weaviate_prism.models.threads import forward_threads
from weaviate_prism.models.tiers import Tier, batches, fastest, samples
from weaviate_prism.models.towers import with_pictures
from weaviate_prism.models.trust import refused_by_name
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import ModelInfo, Task

# The prompts that `encode_query` and `encode_document` look for, in this order.
PROMPT_NAMES = {Task.QUERY: ("query",), Task.DOCUMENT: ("document", "passage", "corpus")}


class SentenceEmbedder:
    """Vectors equal to `SentenceTransformer.encode_query` / `encode_document` on the same weights."""

    def __init__(self, model: SentenceTransformer, info: ModelInfo, tier: Tier) -> None:
        self._model = model
        self.media_bytes, self.eyes = tier.media_bytes, tier.eyes
        self._tier = tier
        self._messages = Messages(model, info.max_tokens)
        self.info = replace(info, tier=tier.name, joint=self._messages.used)
        self._threads = forward_threads(model)
        self.identity = _identity(model, info)

    @property
    def joint(self) -> bool:
        return self.info.joint

    def patched(self, content: Content) -> Content:
        """See `models.base.Model`."""
        return self._tier.patched(content)

    def prepare(self, contents: Sequence[Content], task: Task, instruction: str) -> Prepared:
        """See `models.base.Embedder`."""
        messages = self._messages
        if any(not isinstance(content, str) for content in contents):
            # media may not be cut away by a long text beside them
            contents = [messages.capped(content, self.info.max_tokens // 2) for content in contents]
        source = [messages.message("user", contents)] if messages.used else messages.plain(contents[0])
        prompt = messages.instruction(instruction) or self._prompt(task)
        return self._tier.prepare(source, contents, prompt=prompt, task=task.value)

    def forward(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """See `models.base.Embedder`."""
        with on_device(self.info.device, self._threads):
            vectors = self._tier.forward(batch).float().cpu()
        return np.asarray(vectors.numpy(), dtype=np.float32)

    def _prompt(self, task: Task) -> str | None:
        prompts = self._model.prompts
        for name in PROMPT_NAMES[task]:
            if name in prompts:
                return prompts[name] or None
        default = self._model.default_prompt_name
        return prompts.get(default) if default else None


def load(spec: ModelSpec, settings: Settings) -> SentenceEmbedder:
    """Loads an embedder; takes seconds to minutes.

    Raises:
        ModelError: see `models.loading` and `models.memory`.
    """
    source = loading.source_of(spec.source, spec.revision, settings)
    device = loading.device_of(settings)
    dtype = loading.dtype_of(spec.dtype, device)
    check_room(source.name, source.location, source.revision, dtype, device)
    options = loading.weights_options(spec, dtype)
    loading.require_kind(source, "embedder")
    with refused_by_name(source.name, source.revision, "embedder", trusted=source.trust):
        loading.require_module_list(source)
        model = SentenceTransformer(source.location, device=device, model_kwargs=options, **source.options())
    loading.fill_texts(model)
    revision = source.revision
    entry = table.find(source.name)
    if entry and entry.pictures:
        model, revision = with_pictures(model, source, entry, device=device, model_kwargs=options)
    loading.set_pixels(spec, model)
    if isinstance(model[-1], Normalize):
        del model[-1]  # normalised by the engine in fp32: in bf16 the norms come out as 0.998
    info = ModelInfo(
        name=source.name,
        kind="embedder",
        revision=revision,
        modalities=loading.modalities_of(model),
        dimensions=int(model.get_embedding_dimension() or 0),
        max_tokens=loading.limit_tokens(model),
        dtype=str(dtype).removeprefix("torch."),
        device=device,
        prompts=tuple(name for name, prompt in model.prompts.items() if prompt),
    )
    model.eval()
    standard = SentenceEmbedder(model, info, Standard(model, "sentence_embedding", info.max_tokens))
    if spec.attention:
        return standard
    ways = {QwenVL.name: lambda: SentenceEmbedder(model, info, QwenVL(model, pooled, info.max_tokens))}
    return fastest(standard, ways, _answers)


def _answers(embedder: SentenceEmbedder) -> npt.NDArray[np.float32]:
    """Unit vectors of the samples, for the proof of a faster tier."""
    prepared = [
        embedder.prepare([embedder.patched(content) for content in sample], task, instruction)
        for sample in samples(embedder.info)
        for task, instruction in ((Task.QUERY, "Find it."), (Task.DOCUMENT, ""))
    ]
    vectors = np.concatenate([embedder.forward(batch) for batch in batches(prepared, embedder.info)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _identity(model: Any, info: ModelInfo) -> str:
    """Name, revision, precision, and a digest of prompts and processor settings."""
    processor = getattr(model[0], "processor", None)
    settings = repr((sorted(model.prompts.items()), model.default_prompt_name, repr(processor)))
    return f"{info.name}@{info.revision}:{info.dtype}:{hashlib.sha256(settings.encode()).hexdigest()}"
