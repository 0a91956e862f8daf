"""As jina-reranker-m0: Qwen2-VL, and a small network that scores its last token; one number for each pair."""

from typing import Any

import torch
from transformers import Qwen2VLConfig, Qwen2VLModel, Qwen2VLPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

BIAS = 2.65


class JinaConfig(Qwen2VLConfig):  # type: ignore[misc]
    model_type = "tiny_jina_vl"


class JinaReranker(Qwen2VLPreTrainedModel):  # type: ignore[misc]
    config_class = JinaConfig

    def __init__(self, config: JinaConfig) -> None:
        super().__init__(config)
        self.num_labels = 1
        self.model = Qwen2VLModel(config)
        width = config.text_config.hidden_size
        self.score = torch.nn.Sequential(
            torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, self.num_labels)
        )
        self.post_init()

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **options: Any) -> Any:
        options.pop("return_dict", None)
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, **options).last_hidden_state
        last = attention_mask.shape[1] - 1 - attention_mask.flip(1).argmax(1)
        scores = self.score(hidden[torch.arange(len(hidden)), last]) - BIAS
        return SequenceClassifierOutput(logits=scores.squeeze(-1))
