"""Text models like BERT, as embedders and cross-encoders. Their weights are large, so that every token counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from string import ascii_letters
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
    RobertaTokenizer,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from tiny.texts import CORPUS, SIZES, bert_tokenizer, save

LENGTH = 64
LARGE = {"initializer_range": 0.3}
FAMILIES: dict[str, tuple[type[Any], type[Any], type[Any]]] = {
    "bert": (BertConfig, BertModel, BertForSequenceClassification),
    "roberta": (RobertaConfig, RobertaModel, RobertaForSequenceClassification),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel, XLMRobertaForSequenceClassification),
}


def embedder(folder: Path, family: str = "bert", after: Sequence[torch.nn.Module] = (), **options: Any) -> Path:
    """With pooling of the mean, or what else comes after."""
    config, kind, _ = FAMILIES[family]
    save(kind, *_parts(folder, family, config, options), folder / "plain")
    modules = [Transformer(str(folder / "plain")), *(after or [Pooling(SIZES["hidden_size"], "mean")])]
    prompts = {"query": "query: ", "passage": "passage: "}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(folder / family))
    return folder / family


def cross_encoder(folder: Path, family: str = "bert", **options: Any) -> Path:
    """With the classifier of its family, which gives one score."""
    config, _, kind = FAMILIES[family]
    save(kind, *_parts(folder, family, config, {"num_labels": 1, **options}), folder / "plain")
    CrossEncoder(str(folder / "plain"), device="cpu").save_pretrained(str(folder / family))
    return folder / family


def _parts(folder: Path, family: str, config: type[Any], options: dict[str, Any]) -> tuple[Any, Any]:
    tokenizer = TOKENIZERS[family](folder)
    taken = 0 if family == "bert" else tokenizer.pad_token_id + 1  # of the positions, which RoBERTa does not use
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    return config(**{**SIZES, **LARGE, **ids, "max_position_embeddings": LENGTH + taken, **options}), tokenizer


def _roberta_tokenizer(_: Path) -> PreTrainedTokenizerBase:
    """Of bytes."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(CORPUS, trainer)
    bpe = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in bpe["merges"]]
    return RobertaTokenizer(vocab=bpe["vocab"], merges=merges, model_max_length=LENGTH)


def _xlm_roberta_tokenizer(_: Path) -> PreTrainedTokenizerBase:
    """Of words and letters."""
    words = sorted({f"\N{LOWER ONE EIGHTH BLOCK}{word}" for line in CORPUS for word in line.split()})
    letters = [f"{before}{letter}" for before in ("", "\N{LOWER ONE EIGHTH BLOCK}") for letter in ascii_letters]
    pieces = [(word, -1.0) for word in words] + [(letter, -9.0) for letter in letters]
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    return XLMRobertaTokenizer(vocab=[*special, *pieces, ("<mask>", 0.0)], model_max_length=LENGTH)


TOKENIZERS: dict[str, Callable[[Path], PreTrainedTokenizerBase]] = {
    "bert": bert_tokenizer,
    "roberta": _roberta_tokenizer,
    "xlm-roberta": _xlm_roberta_tokenizer,
}
