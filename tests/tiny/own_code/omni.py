"""As omni-embed-nemotron: the thinking half of Qwen2.5-Omni, without its head."""

from transformers import Qwen2_5OmniThinkerConfig
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniThinkerModel


class OmniConfig(Qwen2_5OmniThinkerConfig):  # type: ignore[misc]
    model_type = "tiny_omni_embed"


class OmniEmbedder(Qwen2_5OmniThinkerModel):  # type: ignore[misc]
    config_class = OmniConfig
