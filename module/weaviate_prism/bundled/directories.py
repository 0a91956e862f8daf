"""Model directories that load through plain `SentenceTransformer(path)` and `CrossEncoder(path)`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import Qwen3VLForConditionalGeneration
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from weaviate_prism.bundled import architecture

PROMPTS = {"query": "query", "document": "document"}


def save_embedder(model: Qwen3VLForConditionalGeneration, tokens: Qwen2Tokenizer, path: Path) -> None:
    """Write Transformer + Pooling(lasttoken) + Normalize."""
    with tempfile.TemporaryDirectory() as raw:
        _save_raw(model, tokens, architecture.EMBEDDER_TEMPLATE, raw)
        reader = Transformer(raw, transformer_task="feature-extraction", unpad_inputs=False)
        pooling = Pooling(reader.get_embedding_dimension(), "lasttoken")
        SentenceTransformer(modules=[reader, pooling, Normalize()], prompts=PROMPTS, device="cpu").save_pretrained(
            str(path), create_model_card=False
        )
    _finish(path)


def save_reranker(model: Qwen3VLForConditionalGeneration, tokens: Qwen2Tokenizer, path: Path) -> None:
    """Write Transformer(any-to-any) + LogitScore(yes, no)."""
    with tempfile.TemporaryDirectory() as raw:
        _save_raw(model, tokens, architecture.RERANKER_TEMPLATE, raw)
        reader = Transformer(raw, transformer_task="any-to-any", unpad_inputs=False)
        score = LogitScore(
            true_token_id=tokens.convert_tokens_to_ids("yes"), false_token_id=tokens.convert_tokens_to_ids("no")
        )
        CrossEncoder(modules=[reader, score], device="cpu").save_pretrained(str(path), create_model_card=False)
    _finish(path)


def _save_raw(model: Qwen3VLForConditionalGeneration, tokens: Qwen2Tokenizer, template: str, path: str) -> None:
    model.save_pretrained(path)
    architecture.processor(tokens, template).save_pretrained(path)


def _finish(path: Path) -> None:
    """Halve the weights on disk (the configuration says float32, so they load as that) and let everyone read them."""
    weights = path / "model.safetensors"
    save_file({name: value.half() for name, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    for file in path.rglob("*"):
        if file.is_file():
            file.chmod(0o644)  # safetensors writes with 0600
