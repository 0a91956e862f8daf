"""The language model on laid-out batches, with visual tokens looked up instead of computed."""

from __future__ import annotations

from torch import Tensor
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from weaviate_prism.bundled.pages import Batch


def read(language: Qwen3VLTextModel, batch: Batch, bank: Tensor) -> Tensor:
    """Final hidden states (pages, tokens, width)."""
    visual = batch.views >= 0
    seen = bank[batch.views[visual]].float()
    embeds = language.embed_tokens(batch.ids)
    if len(seen):
        embeds = embeds.masked_scatter(visual[..., None], seen[:, 0])
    hidden: Tensor = language(
        inputs_embeds=embeds,
        position_ids=batch.positions,
        visual_pos_masks=visual if len(seen) else None,
        deepstack_visual_embeds=list(seen[:, 1:].unbind(1)) if len(seen) else None,
        use_cache=False,
    ).last_hidden_state
    return hidden


def last_tokens(hidden: Tensor, batch: Batch) -> Tensor:
    """The final hidden state of each page."""
    return hidden[range(len(hidden)), batch.last]
