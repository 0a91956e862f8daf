"""Configuration, tokenizer, processor and prompts of the bundled pair: Qwen3-VL in miniature."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX, Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
VOCABULARY = 512
WIDTH = 128
EMBEDDER_LAYERS = 3
RERANKER_LAYERS = 5
PATCH = 8
MERGE = 2
#: Pictures are resized to this area: 64 x 64 pixels, 8 x 8 patches, 16 visual tokens.
PICTURE_PIXELS = 64 * 64
#: All frames of a clip together: eight frames come out as 48 x 48 pixels, four as 64 x 64.
CLIP_PIXELS = 8 * 52 * 52

_TEMPLATE_WORDS = ("yes", "no", "query", "document", " query", " document", " seconds")

_CONTENT = """
{%- macro render(content) -%}
{%- for part in content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ ' ' + part.text }}{%- endif -%}
{%- endfor -%}
{%- endmacro -%}
"""
#: `<|im_start|> query<|im_end|><|im_start|> three red circles<|im_end|>`; the prompt is left out when there is none.
EMBEDDER_TEMPLATE = (
    _CONTENT
    + """
{%- for message in messages -%}
{{- '<|im_start|>' + render(message.content) + '<|im_end|>' -}}
{%- endfor -%}
"""
).strip()
#: Query first, so that one query's tokens are a prefix shared by all of its documents.
RERANKER_TEMPLATE = (
    _CONTENT
    + """
{%- for role in ['system', 'query', 'document'] -%}
{%- for message in messages if message.role == role -%}
{{- '<|im_start|>' + (role if role != 'system' else '') + render(message.content) + '<|im_end|>' -}}
{%- endfor -%}
{%- endfor -%}
{{- '<|im_start|>' -}}
"""
).strip()


def tokenizer(lines: Iterable[str]) -> Qwen2Tokenizer:
    """A byte-level BPE with Qwen's pre-tokenizer, learnt from `lines`; "yes" and "no" are single tokens."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated", invert=False)
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator([*lines, *_TEMPLATE_WORDS * 50], trainer)
    return _as_qwen(json.loads(trained.to_str())["model"])


def _as_qwen(model: dict[str, Any]) -> Qwen2Tokenizer:
    merges = [tuple(merge) for merge in model["merges"]]
    tokens = Qwen2Tokenizer(
        vocab=model["vocab"], merges=merges, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=2048
    )
    tokens.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    return tokens


def processor(tokens: Qwen2Tokenizer, template: str) -> Qwen3VLProcessor:
    """Text, picture and clip processing; `template` is one of the two in this module."""
    shape: dict[str, Any] = {
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    pictures = Qwen2VLImageProcessor(**shape, size={"shortest_edge": PICTURE_PIXELS, "longest_edge": PICTURE_PIXELS})
    clips = Qwen3VLVideoProcessor(
        **shape,
        size={"shortest_edge": CLIP_PIXELS // 2, "longest_edge": CLIP_PIXELS},
        cap_pixels_per_frame=False,
        fps=4,
        max_frames=8,
    )
    return Qwen3VLProcessor(image_processor=pictures, tokenizer=tokens, video_processor=clips, chat_template=template)


def build(tokens: Qwen2Tokenizer, layers: int) -> Qwen3VLForConditionalGeneration:
    """A model with fresh weights and `layers` text layers."""
    ids = {token: tokens.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    config = Qwen3VLConfig(
        text_config=_text_config(layers, ids["<|endoftext|>"]),
        vision_config=_vision_config(),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        dtype="float32",
    )
    return Qwen3VLForConditionalGeneration(config)


def _text_config(layers: int, padding: int) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 10000, "mrope_section": [6, 5, 5], "mrope_interleaved": True}
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 2048,
        "rope_parameters": rope,
        "pad_token_id": padding,
        "initializer_range": 0.04,
    }


def _vision_config() -> dict[str, Any]:
    return {
        "depth": 4,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_heads": 3,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [1, 2],
        "initializer_range": 0.05,
    }
