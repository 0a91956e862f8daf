"""Tiny models with random weights of kinds that Prism does not bundle, written in a second each."""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

CORPUS = ["a red bicycle leans against a brick wall", "quarterly revenue rose by twelve percent", "/etc/passwd https"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def clip(folder: Path) -> Path:
    """A CLIP embedder: text and pictures apart, no messages."""
    tokenizer = _clip_tokenizer()
    config = CLIPConfig(
        text_config={
            **SIZES,
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={**SIZES, "image_size": 64, "patch_size": 16},
        projection_dim=24,
    )
    processor = CLIPProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}),
        tokenizer=tokenizer,
    )
    _save(CLIPModel, config, processor, folder / "plain")
    SentenceTransformer(modules=[Transformer(str(folder / "plain")), Normalize()], device="cpu").save_pretrained(
        str(folder / "clip")
    )
    return folder / "clip"


def cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A text reranker of the classic kind: BERT with a classification head."""
    _save(BertForSequenceClassification, _bert_config(num_labels=labels), _bert_tokenizer(folder), folder / "plain")
    CrossEncoder(str(folder / "plain"), device="cpu").save_pretrained(str(folder / "cross-encoder"))
    return folder / "cross-encoder"


def bare_bert(folder: Path) -> Path:
    """A transformers directory without Sentence Transformers' module list."""
    _save(BertModel, _bert_config(), _bert_tokenizer(folder), folder / "bert")
    return folder / "bert"


def _save(kind: Any, config: Any, processor: Any, folder: Path) -> None:
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def _bert_config(**options: int) -> BertConfig:
    return BertConfig(vocab_size=200, max_position_embeddings=64, **SIZES, **options)


def _bert_tokenizer(folder: Path) -> BertTokenizer:
    words = sorted({word for line in CORPUS for word in line.split()} | set(ascii_lowercase))
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *words,
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    file = folder / "vocab.txt"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(vocabulary))
    return BertTokenizer(vocab=str(file), model_max_length=64)


def _clip_tokenizer() -> CLIPTokenizer:
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(CORPUS, trainer)
    bpe = json.loads(trained.to_str())["model"]
    vocabulary = dict(bpe["vocab"])
    for token in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary.setdefault(token, len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(merge) for merge in bpe["merges"]], model_max_length=77)
