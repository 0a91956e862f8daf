"""As BGE-VL: base and large are CLIP with a class of their own, MLLM-S1 and -S2 a LLaVA-NeXT that embeds."""

from typing import Any

from transformers import CLIPModel, LlavaNextConfig, LlavaNextModel
from transformers.modeling_outputs import BaseModelOutputWithPooling


class BgeClip(CLIPModel):  # type: ignore[misc]
    """Other vectors than CLIP's own, so that it shows whose code has run."""

    def get_image_features(self, pixel_values: Any = None, **options: Any) -> BaseModelOutputWithPooling:
        features = super().get_image_features(pixel_values=pixel_values, **options)
        features.pooler_output = features.pooler_output.flip(-1)
        return features


class BgeConfig(LlavaNextConfig):  # type: ignore[misc]
    model_type = "tiny_bge_mllm"


class BgeMllm(LlavaNextModel):  # type: ignore[misc]
    config_class = BgeConfig
