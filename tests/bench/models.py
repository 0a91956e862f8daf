"""Models of published sizes with random weights; each is made once and stays in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

from bench import words
from bench.words import WORDS
from tiny import qwen_vl, texts, towers
from tiny.texts import save
from weaviate_prism.bundled import EMBEDDER_DIR, RERANKER_DIR, architecture

PATCH = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
# 4 to 1,024 visual tokens of 32 x 32 pixels.
PICTURE_PIXELS = {"shortest_edge": 4 * 32 * 32, "longest_edge": 1024 * 32 * 32}


@dataclass(frozen=True)
class Size:
    """Of a Qwen3-VL: what its text and vision configurations differ in."""

    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    sections: tuple[int, int, int]
    dtype: str = "float32"


MID = Size(
    {
        "hidden_size": 768,
        "intermediate_size": 2304,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "head_dim": 64,
    },
    {
        "depth": 12,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_heads": 8,
        "out_hidden_size": 768,
        "deepstack_visual_indexes": [3, 6, 9],
    },
    (12, 10, 10),
)
# https://huggingface.co/Qwen/Qwen3-VL-Embedding-2B: config.json
QWEN3_VL_2B = Size(
    {
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "deepstack_visual_indexes": [5, 11, 17],
    },
    (24, 20, 20),
    "bfloat16",
)
# https://huggingface.co/openai/clip-vit-base-patch32, https://huggingface.co/cross-encoder/ms-marco-MiniLM-L6-v2
CLIP_TEXT = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
}
CLIP_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
}
MINILM = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
    "vocab_size": 30522,
}


def qwen_config(size: Size) -> Qwen3VLConfig:
    """The configuration of a Qwen3-VL of this size."""
    tokens = architecture.tokenizer(WORDS)
    ids = {token: tokens.convert_tokens_to_ids(token) for token in architecture.SPECIAL_TOKENS}
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": list(size.sections), "mrope_interleaved": True}
    text = {"vocab_size": 151_936, "max_position_embeddings": 262_144, "rope_parameters": rope, **size.text}
    vision = {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 2304}
    return Qwen3VLConfig(
        text_config={**text, "pad_token_id": ids["<|endoftext|>"]},
        vision_config={**vision, **size.vision},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        dtype=size.dtype,
    )


def qwen_embedder(folder: Path, size: Size) -> Path:
    _save_qwen(folder / "plain", size, qwen_vl.EMBEDDER)
    reader = Transformer(str(folder / "plain"), transformer_task="feature-extraction", unpad_inputs=False)
    pooling = Pooling(reader.get_embedding_dimension(), "lasttoken")
    SentenceTransformer(modules=[reader, pooling, Normalize()], device="cpu").save_pretrained(str(folder / "whole"))
    return folder / "whole"


def qwen_reranker(folder: Path, size: Size) -> Path:
    _save_qwen(folder / "plain", size, qwen_vl.RERANKER)
    reader = Transformer(str(folder / "plain"), transformer_task="any-to-any", unpad_inputs=False)
    yes, no = reader.tokenizer.convert_tokens_to_ids(["yes", "no"])
    score = LogitScore(true_token_id=yes, false_token_id=no)
    CrossEncoder(modules=[reader, score], device="cpu").save_pretrained(str(folder / "whole"))
    return folder / "whole"


def _save_qwen(folder: Path, size: Size, template: str) -> None:
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**PATCH, size=PICTURE_PIXELS),
        tokenizer=architecture.tokenizer(WORDS),
        video_processor=Qwen3VLVideoProcessor(**PATCH, cap_pixels_per_frame=False),
        chat_template=template,
    )
    save(Qwen3VLForConditionalGeneration, qwen_config(size), processor, folder)


MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "clip-b32": lambda folder: towers.clip(folder, text=CLIP_TEXT, vision=CLIP_VISION, width=512),
    "mid-embed": lambda folder: qwen_embedder(folder, MID),
    "mid-rerank": lambda folder: qwen_reranker(folder, MID),
    "qwen3-vl-2b-embed": lambda folder: qwen_embedder(folder, QWEN3_VL_2B),
    "qwen3-vl-2b-rerank": lambda folder: qwen_reranker(folder, QWEN3_VL_2B),
    "minilm-l6": lambda folder: texts.cross_encoder(folder, corpus=WORDS, **MINILM),
    "minilm-l6-embed": lambda folder: texts.text_embedder(folder, corpus=WORDS, **MINILM),
}
BUNDLED_DIRS = {"scenes-embedder": EMBEDDER_DIR, "scenes-reranker": RERANKER_DIR}


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prism-bench"


def directory(name: str) -> Path:
    """Where the model of this name lies; the first call makes it, and removes what older code made."""
    if name in BUNDLED_DIRS:
        return BUNDLED_DIRS[name]
    models = cache_folder() / "models"
    place = models / f"{name}-{_code()}"
    if not place.exists():
        models.mkdir(parents=True, exist_ok=True)
        for old in models.glob(f"{name}-*"):
            shutil.rmtree(old)
        with tempfile.TemporaryDirectory(dir=models) as building:
            MAKERS[name](Path(building)).rename(place)
    return place


def _code() -> str:
    """Changes with whatever the models are made by."""
    sources = (Path(module.__file__ or "") for module in (words, qwen_vl, texts, towers, architecture))
    made_by = b"".join(source.read_bytes() for source in (Path(__file__), *sources))
    return hashlib.sha256(made_by + transformers.__version__.encode()).hexdigest()[:8]
