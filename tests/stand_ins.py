"""For every kind of model in the table a tiny one with random weights, of its architecture, layout and prompt."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from engines import running
from tiny import qwen_vl, remote, texts, towers
from weaviate_prism.models import completing, loading, table
from weaviate_prism.models.facts import Entry
from weaviate_prism.values import Item, Part, Text

# Which architecture the rerankers have that are language models.
FAMILIES = {"mxbai-rerank-base-v2": "qwen2", "Qwen3-Reranker-0.6B": "qwen3"}


@dataclass(frozen=True)
class StandIn:
    """How a directory is made, and the models that have its architecture and layout."""

    make: Callable[[Path], Path]
    models: tuple[str, ...]


def language_reranker(folder: Path, name: str) -> Path:
    """As it is published now, with Sentence Transformers' files."""
    bare = texts.language_reranker(folder / "plain", FAMILIES[name], template(name))
    model = CrossEncoder(str(bare), device="cpu", activation_fn=torch.nn.Identity())
    ids = model.tokenizer.convert_tokens_to_ids(list(entry(name).answers or ()))
    model[1].true_token_id, model[1].false_token_id = ids
    model.save_pretrained(str(folder / name))
    return folder / name


def template(name: str) -> str:
    return Path(completing.__file__).with_name("templates").joinpath(entry(name).template).read_text()


def entry(name: str) -> Entry:
    found = table.find(name)
    assert found is not None
    return found


EMBEDDERS = {
    "bert": StandIn(texts.text_embedder, ("any BERT or RoBERTa as SentenceTransformer",)),
    "distilbert": StandIn(partial(texts.projected, name="text", width=24), ("any other SentenceTransformer",)),
    "qwen3-vl": StandIn(qwen_vl.embedder, ("Qwen/Qwen3-VL-Embedding",)),
    "legacy-clip": StandIn(
        towers.legacy_clip, tuple(f"sentence-transformers/clip-ViT-{n}" for n in ("B-32", "B-16", "L-14"))
    ),
    "multilingual-clip": StandIn(towers.multilingual_clip, ("sentence-transformers/clip-ViT-B-32-multilingual-v1",)),
    "siglip": StandIn(towers.siglip, ("google/siglip-",)),
    "siglip2": StandIn(towers.siglip2, ("google/siglip2-",)),
    "bge-clip": StandIn(remote.bge_clip, ("BAAI/BGE-VL-base", "BAAI/BGE-VL-large")),
    "bge-mllm": StandIn(remote.bge_mllm, ("BAAI/BGE-VL-MLLM",)),
    "nemotron-embed": StandIn(remote.nemotron_embedder, ("nvidia/llama-nemotron-embed-vl",)),
    "omni-embed": StandIn(remote.omni_embedder, ("nvidia/omni-embed-nemotron",)),
}
RERANKERS = {
    "bert": StandIn(texts.cross_encoder, ("any BERT or RoBERTa as CrossEncoder",)),
    "distilbert": StandIn(texts.distilled_cross_encoder, ("any other CrossEncoder",)),
    "qwen3-vl": StandIn(qwen_vl.reranker, ("Qwen/Qwen3-VL-Reranker",)),
    "qwen3": StandIn(partial(language_reranker, name="Qwen3-Reranker-0.6B"), ("Qwen/Qwen3-Reranker",)),
    "mxbai": StandIn(partial(language_reranker, name="mxbai-rerank-base-v2"), ("mixedbread-ai/mxbai-rerank",)),
    "jina": StandIn(remote.jina_reranker, ("jinaai/jina-reranker-m0",)),
    "nemotron-rerank": StandIn(remote.nemotron_reranker, ("nvidia/llama-nemotron-rerank-vl",)),
}


def trusted(directory: Path) -> dict[str, Any]:
    """Settings that load a directory with its own code, if it has any."""
    return {
        "device": "cpu",
        "dtype": "float32",
        "cache_bytes": 0,
        "trust_remote_code": (f"{directory.name}@{loading.fingerprint(directory)}",),
    }


async def scores(directory: Path, documents: list[tuple[Part, ...]]) -> Any:
    async with running(embedder="none", reranker=str(directory), **trusted(directory)) as engine:
        items = [Item(each) for each in documents]
        found = await engine.rerank(Item((Text("red"),)), items, deadline=time.monotonic() + 60)
    return np.array(found, dtype=float)


def cached(folder: Path, name: str, commit: str) -> Path:
    """Where a cache of the hub keeps a commit of a model, which is its main branch."""
    kept = folder / f"models--{name.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    return kept / "snapshots" / commit
