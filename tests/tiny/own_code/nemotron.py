"""As llama-nemotron-embed-vl and -rerank-vl: a Llama that looks both ways, behind a SigLIP tower."""

from typing import Any

import torch
from transformers import LlavaConfig, LlavaModel, LlavaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class NemotronConfig(LlavaConfig):  # type: ignore[misc]
    model_type = "tiny_nemotron_vl"


class NemotronEmbedder(LlavaModel):  # type: ignore[misc]
    config_class = NemotronConfig

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **options: Any) -> Any:
        both_ways = attention_mask.bool()[:, None, None].expand(-1, 1, attention_mask.shape[1], -1)
        return super().forward(input_ids=input_ids, attention_mask=both_ways, **options)


class NemotronReranker(LlavaPreTrainedModel):  # type: ignore[misc]
    config_class = NemotronConfig

    def __init__(self, config: NemotronConfig) -> None:
        super().__init__(config)
        self.num_labels = 1
        self.model = NemotronEmbedder(config)
        self.score = torch.nn.Linear(config.text_config.hidden_size, 1)
        self.post_init()

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **options: Any) -> Any:
        options.pop("return_dict", None)
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, **options).last_hidden_state
        seen = attention_mask[..., None].to(hidden.dtype)
        return SequenceClassifierOutput(logits=self.score((hidden * seen).sum(1) / seen.sum(1)))
