"""Any embedder that Sentence Transformers loads."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from weaviate_prism.config import Settings
from weaviate_prism.models import loading, table
from weaviate_prism.models.base import Content, Prepared
from weaviate_prism.models.bert import Bert
from weaviate_prism.models.clip import DualEncoder
from weaviate_prism.models.device import on_device
from weaviate_prism.models.heads import pooled
from weaviate_prism.models.memory import check_room
from weaviate_prism.models.messages import Messages
from weaviate_prism.models.precision import in_precision
from weaviate_prism.models.qwen_vl import QwenVL
from weaviate_prism.models.standard import Standard
from weaviate_prism.models.tiers import Answers, Tier, batches, fastest, readable, samples
from weaviate_prism.models.towers import with_pictures
from weaviate_prism.models.trust import refused_by_name
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import ModelInfo, Task

# The prompts that `encode_query` and `encode_document` look for, in this order.
PROMPT_NAMES = {Task.QUERY: ("query",), Task.DOCUMENT: ("document", "passage", "corpus")}


class SentenceEmbedder:
    """Vectors equal to `SentenceTransformer.encode_query` / `encode_document` on the same weights."""

    def __init__(self, model: SentenceTransformer, info: ModelInfo, tier: Tier) -> None:
        self.model = model
        self._tier = tier
        self._messages = Messages(model, info.max_tokens)
        self.wanted_size = tier.wanted_size if info.decode == "fast" else None
        decode = "fast" if self.wanted_size else "exact"
        self.media_bytes, self.eyes = tier.media_bytes, tier.eyes and f"{tier.eyes} {decode}"
        self.info = replace(info, tier=tier.name, joint=self._messages.used, decode=decode)
        self.identity = _identity(model, self.info)

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
            contents = messages.capped(contents, self.info.max_tokens // 2)
        prompt = messages.instruction(instruction) or self._prompt(task)
        source = [messages.message("user", contents)] if messages.used else messages.plain(contents[0], prompt or "")
        return self._tier.prepare(source, contents, prompt=prompt, task=task.value)

    def forward(self, batch: Sequence[Prepared], threads: int = 0) -> npt.NDArray[np.float32]:
        """See `models.base.Embedder`."""
        with on_device(self.info.device, threads):
            vectors = self._tier.forward(batch).float().cpu()
        return np.asarray(vectors.numpy(), dtype=np.float32)

    def _prompt(self, task: Task) -> str | None:
        prompts = self.model.prompts
        for name in PROMPT_NAMES[task]:
            if name in prompts:
                return prompts[name] or None
        default = self.model.default_prompt_name
        return prompts.get(default) if default else None


def load(spec: ModelSpec, settings: Settings) -> SentenceEmbedder:
    """Loads an embedder; takes seconds to minutes.

    Raises:
        ModelError: see `models.loading` and `models.memory`.
    """
    source = loading.source_of(spec.source, spec.revision, settings)
    device = loading.device_of(settings)
    loading.require_kind(source, "embedder")
    make = functools.partial(_standard, spec, settings, source, device)
    return in_precision(spec.dtype, device, source.name, make, functools.partial(_fastest, spec, settings), _answers)


def _standard(
    spec: ModelSpec, settings: Settings, source: loading.Source, device: str, dtype: torch.dtype
) -> SentenceEmbedder:
    check_room(source.name, source.location, source.revision, dtype, device)
    options = loading.weights_options(spec, dtype)
    with refused_by_name(source.name, source.revision, "embedder", trusted=source.trust):
        loading.require_module_list(source)
        model = SentenceTransformer(source.location, device=device, model_kwargs=options, **source.options())
    loading.require_plain_texts(source, model)
    loading.fill_texts(model)
    if isinstance(model[0], StaticEmbedding):
        model.to(dtype)  # it has no use for `model_kwargs`
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
        decode=settings.decode,
        prompts=tuple(name for name, prompt in model.prompts.items() if prompt),
    )
    model.eval()
    return SentenceEmbedder(model, info, Standard(model, "sentence_embedding", info.max_tokens))


def _fastest(
    spec: ModelSpec, settings: Settings, standard: SentenceEmbedder, expected: Answers | None, obeyed: bool
) -> SentenceEmbedder:
    model, info = standard.model, replace(standard.info, decode=settings.decode)
    if spec.attention:
        return fastest(standard, {}, _answers, expected, obeyed=obeyed)
    ways = {
        QwenVL.name: lambda: SentenceEmbedder(model, info, QwenVL(model, pooled, info.max_tokens)),
        DualEncoder.name: lambda: SentenceEmbedder(model, info, DualEncoder(model, info.max_tokens)),
        Bert.name: lambda: SentenceEmbedder(model, info, Bert(model, info.max_tokens)),
    }
    return fastest(standard, ways, _answers, expected, obeyed=obeyed)


def _answers(embedder: SentenceEmbedder) -> Answers:
    """Unit vectors of the samples, for proofs."""
    tasks = (Task.QUERY, "Find it."), (Task.DOCUMENT, "")
    read = [[embedder.patched(content) for content in sample] for sample in samples(embedder.info)]
    # all but the first with one prompt or the other, in turn: a prompt is put before any input alike
    inputs = [(read[0], *tasks[1]), *((sample, *tasks[number % 2]) for number, sample in enumerate(read))]
    prepared = readable(lambda each: embedder.prepare(*each), inputs)
    vectors = np.concatenate([embedder.forward(batch) for batch in batches(prepared, embedder.info)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _identity(model: Any, info: ModelInfo) -> str:
    """Name, revision, precision, how pictures are decoded, and a digest of prompts and processor settings."""
    processor = getattr(model[0], "processor", None)
    settings = repr((sorted(model.prompts.items()), model.default_prompt_name, repr(processor)))
    return f"{info.name}@{info.revision}:{info.dtype}:{info.decode}:{hashlib.sha256(settings.encode()).hexdigest()}"
