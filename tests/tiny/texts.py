"""Text models: BERT embedders and cross-encoders, and the rerankers that are language models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from weaviate_prism.bundled import architecture

CORPUS = ["a red bicycle leans against a brick wall", "quarterly revenue rose by twelve percent", "/etc/passwd https"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
DISTILLED = {
    "vocab_size": 200,
    "dim": 32,
    "hidden_dim": 64,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 64,
}
# As the repositories had it before they had Sentence Transformers' files: other roles than these are dropped.
CHAT = "{% for m in messages if m.role in ('system', 'user') %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"


def text_embedder(folder: Path, corpus: Sequence[str] = CORPUS, **sizes: int) -> Path:
    """The classic kind: BERT, mean pooling, with prompts; knows the words of `corpus` as tokens."""
    config = _bert_config(**sizes)
    tokens = bert_tokenizer(folder, corpus, config.max_position_embeddings)
    save(BertModel, config, tokens, folder / "plain")
    transformer = Transformer(str(folder / "plain"))
    model = SentenceTransformer(
        modules=[transformer, Pooling(transformer.get_embedding_dimension(), "mean"), Normalize()],
        prompts={"query": "query: ", "passage": "passage: "},
        device="cpu",
    )
    model.save_pretrained(str(folder / "text"))
    return folder / "text"


def projected(folder: Path, name: str, width: int) -> Path:
    """A text tower with a projection to the width of another model: DistilBERT, mean pooling, dense."""
    save(DistilBertModel, DistilBertConfig(**DISTILLED), bert_tokenizer(folder), folder / "plain")
    torch.manual_seed(1)
    modules = [
        Transformer(str(folder / "plain")),
        Pooling(32, "mean"),
        Dense(32, width, bias=False, activation_function=torch.nn.Identity()),
    ]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / name))
    return folder / name


def static_embedder(folder: Path) -> Path:
    """A mean of vectors that tokens have wherever they stand, as model2vec makes them."""
    torch.manual_seed(2)
    words = StaticEmbedding(bert_tokenizer(folder).backend_tokenizer, embedding_dim=16)
    prompts = {"query": "red: ", "document": ""}
    SentenceTransformer(modules=[words, Normalize()], prompts=prompts, device="cpu").save_pretrained(
        str(folder / "static")
    )
    return folder / "static"


def language_reranker(folder: Path, family: str, template: str | None) -> Path:
    """A causal language model that answers with a token: Qwen3 ("yes", "no") or Qwen2 as mxbai has it ("1", "0").

    Without a template, as the repository was before it had Sentence Transformers' files.
    """
    tokens = architecture.tokenizer(CORPUS)
    tokens.chat_template = template or CHAT
    options: dict[str, Any] = {
        **SIZES,
        "vocab_size": architecture.VOCABULARY,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "initializer_range": 0.1,
    }
    if family == "qwen3":
        save(Qwen3ForCausalLM, Qwen3Config(**options, head_dim=8), tokens, folder)
    else:
        save(Qwen2ForCausalLM, Qwen2Config(**options), tokens, folder)
    return folder


def cross_encoder(folder: Path, labels: int = 1, corpus: Sequence[str] = CORPUS, **sizes: int) -> Path:
    """A text reranker of the classic kind: BERT with a classification head; knows the words of `corpus` as tokens."""
    config = _bert_config(num_labels=labels, **sizes)
    tokens = bert_tokenizer(folder, corpus, config.max_position_embeddings)
    save(BertForSequenceClassification, config, tokens, folder / "plain")
    CrossEncoder(str(folder / "plain"), device="cpu").save_pretrained(str(folder / "cross-encoder"))
    return folder / "cross-encoder"


def distilled_cross_encoder(folder: Path) -> Path:
    """A text reranker that is no BERT."""
    config = DistilBertConfig(**DISTILLED, num_labels=1)
    save(DistilBertForSequenceClassification, config, bert_tokenizer(folder), folder / "plain")
    CrossEncoder(str(folder / "plain"), device="cpu").save_pretrained(str(folder / "cross-encoder"))
    return folder / "cross-encoder"


def bare_bert(folder: Path) -> Path:
    """A transformers directory without Sentence Transformers' module list."""
    save(BertModel, _bert_config(), bert_tokenizer(folder), folder / "bert")
    return folder / "bert"


def save(kind: Any, config: Any, processor: Any, folder: Path) -> None:
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def _bert_config(**options: int) -> BertConfig:
    return BertConfig(**{"vocab_size": 200, "max_position_embeddings": 64, **SIZES, **options})


def bert_tokenizer(folder: Path, corpus: Sequence[str] = CORPUS, length: int = 64) -> BertTokenizer:
    """Knows the words of `corpus`, and letters."""
    words = sorted({word for line in corpus for word in line.split()} | set(ascii_lowercase))
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
    return BertTokenizer(vocab=str(file), model_max_length=length)
