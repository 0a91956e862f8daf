"""Models that come with Python code of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import (
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaProcessor,
    Qwen2_5OmniProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    SiglipImageProcessor,
    WhisperFeatureExtractor,
)
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

from tiny import towers
from tiny.own_code import bge, jina, nemotron
from tiny.texts import CORPUS, SIZES, save
from weaviate_prism.bundled import architecture

TRUST: dict[str, Any] = {"trust_remote_code": True}
TRUSTED = {"model_kwargs": TRUST, "processor_kwargs": TRUST, "config_kwargs": TRUST}
TEXT = {**SIZES, "num_key_value_heads": 2, "vocab_size": architecture.VOCABULARY + 8, "initializer_range": 0.1}
VISION = {**SIZES, "image_size": 32, "patch_size": 16, "initializer_range": 0.1}
DEPTH = {"depth": 2, "num_heads": 4, "patch_size": 14}
MROPE = {"rope_type": "default", "rope_theta": 10000, "mrope_section": [1, 1, 2]}
PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
EMBED = (
    "{% for m in messages %}<|im_start|>{% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}<|im_end|>{% endfor %}"
)
RERANK = (
    "{% for role in ['system', 'query', 'document'] %}{% for m in messages if m.role == role %}{{ role }}:"
    "{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}\n"
    "{% endfor %}{% endfor %}"
)
# The document first: https://huggingface.co/jinaai/jina-reranker-m0-GGUF
JINA = (
    "{% for role in ['document', 'query'] %}{% for m in messages if m.role == role %}**{{ role | capitalize }}**:\n"
    "{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}{{ '\n' if role == 'document' else '<|box_end|>' }}"
    "{% endfor %}{% endfor %}"
)


OMNI = EMBED.replace(
    "<image>",
    "<|vision_start|><|image|><|vision_end|>{% elif c.type == 'video' %}<|vision_start|><|video|><|vision_end|>",
)


def bge_clip(folder: Path) -> Path:
    bge.BgeClip.register_for_auto_class("AutoModel")
    return _embedder(towers.bare_clip(folder / "plain", bge.BgeClip), folder / "BGE-VL-base", pooling=None)


def bge_mllm(folder: Path) -> Path:
    tokens = _tokenizer("<image>")
    config = bge.BgeConfig(
        vision_config={**VISION, "model_type": "clip_vision_model", "projection_dim": 32},
        text_config={**TEXT, "model_type": "mistral"},
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=[[32, 64], [64, 32]],
    )
    pictures = LlavaNextImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=[[32, 64], [64, 32]]
    )
    processor = LlavaNextProcessor(
        pictures,
        tokens,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=EMBED,
    )
    _register(bge.BgeConfig, bge.BgeMllm, "AutoModel")
    save(bge.BgeMllm, config, processor, folder / "plain")
    return _embedder(folder / "plain", folder / "BGE-VL-MLLM-S1", pooling="lasttoken")


def nemotron_embedder(folder: Path) -> Path:
    _nemotron(folder / "plain", nemotron.NemotronEmbedder, "AutoModel", EMBED)
    return _embedder(folder / "plain", folder / "llama-nemotron-embed-vl-1b-v2", pooling="mean")


def nemotron_reranker(folder: Path) -> Path:
    plain = _nemotron(folder / "plain", nemotron.NemotronReranker, "AutoModelForSequenceClassification", RERANK)
    return _reranker(plain, folder / "llama-nemotron-rerank-vl-1b-v2")


def jina_reranker(folder: Path) -> Path:
    tokens = _tokenizer("<|box_end|>")
    ids = {name: tokens.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad", "vision_start")}
    config = jina.JinaConfig(
        text_config={**TEXT, "rope_parameters": MROPE},
        vision_config={**DEPTH, "embed_dim": 32, "hidden_size": 32},
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        num_labels=1,
    )
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessor(size=PIXELS), tokens, Qwen2VLVideoProcessor(size=PIXELS), chat_template=JINA
    )
    _register(jina.JinaConfig, jina.JinaReranker, "AutoModelForSequenceClassification")
    save(jina.JinaReranker, config, processor, folder / "plain")
    return _reranker(folder / "plain", folder / "jina-reranker-m0")


def omni_embedder(folder: Path) -> Path:
    from tiny.own_code import omni  # whose base class transformers 5.17 does not have

    _tokenizer().save_pretrained(folder / "tokens")
    names = {f"{kind}_token": f"<|{kind}|>" for kind in ("image", "video", "audio", "audio_bos", "audio_eos")}
    names |= {"vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
    tokens = Qwen2Tokenizer.from_pretrained(folder / "tokens", extra_special_tokens=names)
    config = omni.OmniConfig(
        text_config={**TEXT, "rope_parameters": MROPE},
        vision_config={
            **DEPTH,
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        audio_config={
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "d_model": 32,
            "output_dim": 32,
            "num_mel_bins": 16,
        },
        image_token_id=tokens.image_token_id,
        video_token_id=tokens.video_token_id,
        audio_token_id=tokens.audio_token_id,
        vision_start_token_id=tokens.convert_tokens_to_ids("<|vision_start|>"),
        pad_token_id=tokens.pad_token_id,
    )
    processor = Qwen2_5OmniProcessor(
        Qwen2VLImageProcessor(size=PIXELS),
        Qwen2VLVideoProcessor(size=PIXELS),
        WhisperFeatureExtractor(16),
        tokens,
        chat_template=OMNI,
    )
    _register(omni.OmniConfig, omni.OmniEmbedder, "AutoModel")
    save(omni.OmniEmbedder, config, processor, folder / "plain")
    return _embedder(folder / "plain", folder / "omni-embed-nemotron-3b", pooling="mean")


def _nemotron(folder: Path, kind: Any, auto_class: str, template: str) -> Path:
    tokens = _tokenizer("<image>")
    config = nemotron.NemotronConfig(
        vision_config={**VISION, "model_type": "siglip_vision_model"},
        text_config={**TEXT, "model_type": "llama"},
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        num_labels=1,
    )
    pictures = SiglipImageProcessor(size={"height": 32, "width": 32})
    processor = LlavaProcessor(
        pictures, tokens, patch_size=16, vision_feature_select_strategy="full", chat_template=template
    )
    _register(nemotron.NemotronConfig, kind, auto_class)
    save(kind, config, processor, folder)
    return folder


def _tokenizer(*more: str) -> Any:
    tokens = architecture.tokenizer(CORPUS)
    tokens.add_special_tokens({"additional_special_tokens": [*architecture.SPECIAL_TOKENS, *more]})
    return tokens


def _register(config: Any, kind: Any, auto_class: str) -> None:
    """Has `save_pretrained` write the code beside the weights."""
    config.register_for_auto_class()
    kind.register_for_auto_class(auto_class)


def _embedder(plain: Path, folder: Path, pooling: str | None) -> Path:
    transformer = Transformer(str(plain), **TRUSTED)
    pooled = [Pooling(transformer.get_embedding_dimension(), pooling)] if pooling else []
    model = SentenceTransformer(modules=[transformer, *pooled, Normalize()], device="cpu")
    model.save_pretrained(str(folder))
    return folder


def _reranker(plain: Path, folder: Path) -> Path:
    CrossEncoder(str(plain), device="cpu", trust_remote_code=True).save_pretrained(str(folder))
    return folder
