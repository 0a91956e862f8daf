"""Any cross-encoder that Sentence Transformers loads, through its public preprocess and forward (tier 0)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.util import batch_to_device

from weaviate_prism.config import Settings
from weaviate_prism.errors import Unsupported
from weaviate_prism.models import loading
from weaviate_prism.models.base import Content, ModelError, Prepared
from weaviate_prism.models.features import join, padding_of
from weaviate_prism.models.preprocess import Preprocessor, clips_in
from weaviate_prism.models.threads import forward_threads, use_threads
from weaviate_prism.values import ModelInfo


class CrossEncoderReranker:
    """Scores equal to `CrossEncoder.predict` on the same weights."""

    def __init__(self, model: CrossEncoder, info: ModelInfo, *, logits: bool) -> None:
        self.info = info
        self._model = model.eval()
        self._activation = torch.nn.Identity() if logits else model.activation_fn
        self._preprocessor = Preprocessor(model, info.max_tokens)
        self._padding = padding_of(model)
        self._threads = forward_threads(model)

    def prepare(self, query: Sequence[Content], document: Sequence[Content], instruction: str) -> Prepared:
        """See `models.base.Reranker`."""
        inputs = self._preprocessor
        # A long query would push the whole document out of the window, and still get a plausible score.
        half = self.info.max_tokens // 2
        query = [inputs.capped(content, half) for content in query]
        if inputs.messages:
            if any(not isinstance(content, str) for content in document):
                document = [inputs.capped(content, half // 2) for content in document]
            pair: object = [inputs.message("query", query), inputs.message("document", document)]
        else:
            pair = (self._only_text(query), self._only_text(document))
        prompt = inputs.instruction(instruction) or self._prompt()
        return inputs.prepare(pair, clips_in([*query, *document]), prompt=prompt, task=None)

    def forward(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """See `models.base.Reranker`."""
        use_threads(self._threads)
        features = join([prepared.features for prepared in batch], **self._padding)
        try:
            with torch.inference_mode():
                scores = self._model(batch_to_device(features, self._model.device))["scores"]
                activated = self._activation(scores.float()).reshape(len(batch)).cpu()
        except RuntimeError as error:
            raise loading.device_errors(error, self.info.device) from error
        return np.asarray(activated.numpy(), dtype=np.float32)

    def _prompt(self) -> str | None:
        name = self._model.default_prompt_name
        return self._model.prompts.get(name) if name else None

    def _only_text(self, contents: Sequence[Content]) -> str:
        if len(contents) > 1:
            raise Unsupported(f"{self.info.name} takes one text on each side of a pair")
        return self._preprocessor.text(contents[0])


def load(settings: Settings) -> CrossEncoderReranker:
    """Loads the reranker that the settings name.

    Raises:
        ModelError: see `models.loading`; or it has more than one score per pair.
    """
    source = loading.source_of(settings.reranker, settings.reranker_revision, settings)
    device = loading.device_of(settings)
    dtype = loading.dtype_of(settings, device)
    model = CrossEncoder(source.location, device=device, model_kwargs={"dtype": dtype}, **source.options())
    if model.num_labels != 1:
        raise ModelError(f"{source.name}: gives {model.num_labels} scores per pair; a reranker gives one")
    info = ModelInfo(
        name=source.name,
        kind="reranker",
        revision=loading.revision_of(source, model),
        modalities=loading.modalities_of(model),
        dimensions=0,
        max_tokens=loading.limit_tokens(model),
        dtype=str(dtype).removeprefix("torch."),
        device=device,
        prompts=tuple(name for name, prompt in model.prompts.items() if prompt),
    )
    return CrossEncoderReranker(model, info, logits=settings.rerank_logits)
