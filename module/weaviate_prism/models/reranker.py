"""Any cross-encoder that Sentence Transformers loads."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import CrossEncoder

from weaviate_prism.config import Settings
from weaviate_prism.errors import Unsupported
from weaviate_prism.models import loading
from weaviate_prism.models.base import Content, ModelError, Prepared
from weaviate_prism.models.bert import Bert
from weaviate_prism.models.causal_lm import CausalLM
from weaviate_prism.models.completing import completed
from weaviate_prism.models.device import on_device
from weaviate_prism.models.heads import yes_or_no
from weaviate_prism.models.memory import check_room
from weaviate_prism.models.messages import Messages
from weaviate_prism.models.precision import in_precision
from weaviate_prism.models.qwen_vl import QwenVL
from weaviate_prism.models.standard import Standard
from weaviate_prism.models.tiers import Answers, PairTier, Shared, batches, fastest, questions, readable, samples
from weaviate_prism.models.trust import refused_by_name
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import ModelInfo

# Documents that begin differently, so that what all of them come after ends before any token which a document changes.
STARTS = "a", "(", "\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and what is done with it once, whatever the documents."""

    query: list[Content]
    source: object  # the query as the model takes it: a message, or a text
    prompt: str | None
    shared: Shared | None = None

    @property
    def nbytes(self) -> int:
        """See `models.base.Asked`."""
        return self.shared.nbytes if self.shared else 0


class CrossEncoderReranker:
    """Scores equal to `CrossEncoder.predict` on the same weights."""

    def __init__(self, model: CrossEncoder, info: ModelInfo, tier: PairTier, *, logits: bool) -> None:
        self.model = model
        self._tier = tier
        self.gives_logits = logits
        self._messages = Messages(model, info.max_tokens)
        self.wanted_size = tier.wanted_size if info.decode == "fast" else None
        decode = "fast" if self.wanted_size else "exact"
        self.media_bytes, self.eyes = tier.media_bytes, tier.eyes and f"{tier.eyes} {decode}"
        self.info = replace(info, tier=tier.name, joint=self._messages.used, decode=decode)

    def patched(self, content: Content) -> Content:
        """See `models.base.Model`."""
        return self._tier.patched(content)

    def asked(self, query: Sequence[Content], instruction: str) -> Asked:
        """See `models.base.Reranker`."""
        messages = self._messages
        # A long query would push the whole document out of the window, and still get a plausible score.
        query = [self._tier.patched(content) for content in messages.capped(query, self.info.max_tokens // 2)]
        prompt = messages.instruction(instruction) or self._prompt()
        source = messages.message("query", query) if messages.used else self._only_text(query, prompt or "")
        asked = Asked(query, source, prompt)
        pairs = [self._pair(asked, [start]) for start in STARTS]
        return replace(asked, shared=self._tier.shared(pairs, query, prompt=prompt))

    def prepare(self, asked: Asked, document: Sequence[Content]) -> Prepared:
        """See `models.base.Reranker`."""
        if self._messages.used and any(not isinstance(content, str) for content in document):
            document = self._messages.capped(document, self.info.max_tokens // 4)
        pair, contents = self._pair(asked, document), [*asked.query, *document]
        return self._tier.prepare(pair, contents, prompt=asked.prompt, task=None, shared=asked.shared)

    def _pair(self, asked: Asked, document: Sequence[Content]) -> object:
        if self._messages.used:
            return [asked.source, self._messages.message("document", document)]
        return asked.source, self._only_text(document)

    def forward(self, batch: Sequence[Prepared], threads: int = 0) -> npt.NDArray[np.float32]:
        """See `models.base.Reranker`."""
        activation = torch.nn.Identity() if self.gives_logits else self.model.activation_fn
        return self._activated(batch, activation, threads)

    def logits(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """[len(batch)] float32, whatever the setting says."""
        return self._activated(batch, torch.nn.Identity(), 0)

    def _activated(
        self, batch: Sequence[Prepared], activation: torch.nn.Module, threads: int
    ) -> npt.NDArray[np.float32]:
        with on_device(self.info.device, threads):
            scores = activation(self._tier.forward(batch).float()).reshape(len(batch)).cpu()
        return np.asarray(scores.numpy(), dtype=np.float32)

    def _prompt(self) -> str | None:
        name = self.model.default_prompt_name
        return self.model.prompts.get(name) if name else None

    def _only_text(self, contents: Sequence[Content], before: str = "") -> str:
        if len(contents) > 1:
            raise Unsupported(f"{self.info.name} takes one text on each side of a pair")
        return self._messages.text(contents[0], before)


def load(spec: ModelSpec, settings: Settings) -> CrossEncoderReranker:
    """Loads a reranker; takes seconds to minutes.

    Raises:
        ModelError: see `models.loading`, `models.memory`, `models.completing`; or it cannot read pairs, or gives more
            than one score.
    """
    source = loading.source_of(spec.source, spec.revision, settings)
    device = loading.device_of(settings)
    loading.require_kind(source, "reranker")
    make = functools.partial(_standard, spec, settings, source, device)
    return in_precision(spec.dtype, device, source.name, make, functools.partial(_fastest, spec, settings), _scores)


def _standard(
    spec: ModelSpec, settings: Settings, source: loading.Source, device: str, dtype: torch.dtype
) -> CrossEncoderReranker:
    check_room(source.name, source.location, source.revision, dtype, device)
    options = loading.weights_options(spec, dtype)
    with refused_by_name(source.name, source.revision, "reranker", trusted=source.trust), completed(source) as whole:
        model = CrossEncoder(whole.location, device=device, model_kwargs=options, **whole.options())
    loading.require_plain_texts(source, model)
    loading.set_pixels(spec, model)
    try:
        model.preprocess([("a query", "a document")])
    except (ValueError, TypeError) as error:  # such as a chat template without a place for them
        raise ModelError(f"{source.name}: cannot read a pair of texts: {error}") from error
    if model.num_labels != 1:
        raise ModelError(f"{source.name}: gives {model.num_labels} scores per pair; a reranker gives one")
    info = ModelInfo(
        name=source.name,
        kind="reranker",
        revision=source.revision,
        modalities=loading.modalities_of(model),
        dimensions=0,
        max_tokens=loading.limit_tokens(model),
        dtype=str(dtype).removeprefix("torch."),
        device=device,
        decode=settings.decode,
        prompts=tuple(name for name, prompt in model.prompts.items() if prompt),
    )
    model.eval()
    tier = Standard(model, "scores", info.max_tokens)
    return CrossEncoderReranker(model, info, tier, logits=settings.rerank_logits)


def _fastest(
    spec: ModelSpec, settings: Settings, standard: CrossEncoderReranker, expected: Answers | None, obeyed: bool
) -> CrossEncoderReranker:
    model, info = standard.model, replace(standard.info, decode=settings.decode)
    answers = _logits if info.dtype == "float32" else _scores
    if spec.attention:
        return fastest(standard, {}, answers, expected, obeyed=obeyed)
    make = functools.partial(CrossEncoderReranker, model, info, logits=standard.gives_logits)
    ways = {
        QwenVL.name: lambda: make(QwenVL(model, yes_or_no, info.max_tokens)),
        CausalLM.name: lambda: make(CausalLM(model, yes_or_no, info.max_tokens)),
        Bert.name: lambda: make(Bert(model, info.max_tokens)),
    }
    return fastest(standard, ways, answers, expected, obeyed=obeyed)


def _logits(reranker: CrossEncoderReranker) -> Answers:
    """Of the samples, for proofs in float32: scores near 0 and 1 would hide any difference.

    Several queries share a batch; the last document of each comes later, when the start that it shares is computed.
    """
    read = [[reranker.patched(content) for content in sample] for sample in samples(reranker.info)]
    now, later = [], []
    for query, instruction, documents in questions(read):
        asked = reranker.asked(query, instruction)
        prepared = readable(functools.partial(reranker.prepare, asked), documents)
        now += prepared[:-1]
        later += prepared[-1:]
    later += readable(functools.partial(reranker.prepare, replace(asked, shared=None)), read[:1])
    alone = [reranker.prepare(reranker.asked(read[0], "Alone."), read[0])]
    return np.concatenate(
        [reranker.logits(batch) for some in (now, later, alone) for batch in batches(some, reranker.info)]
    )


def _scores(reranker: CrossEncoderReranker) -> Answers:
    """Of the samples, for proofs in bfloat16, in which logits of the standard way have 8 bits."""
    scores: Answers = reranker.model.activation_fn(torch.from_numpy(_logits(reranker))).numpy()
    return scores
