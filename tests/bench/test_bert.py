"""Both ways to compute a MiniLM, turn by turn, and `predict` and `encode` in batches of 32: on the same weights.

`faster_per_...` below 1 means that the faster way takes so much of the other one's time, preparing included; of one
core's, so that whoever else computes changes little.
"""

from __future__ import annotations

import functools
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from bench import content, models
from bench.test_tiers import SETTINGS
from tiers import loaded_the_standard_way
from weaviate_prism.models import embedder, reranker
from weaviate_prism.models.bert import Bert
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.models.reranker import CrossEncoderReranker
from weaviate_prism.models.standard import Standard
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

ROUNDS, COUNT = 5, 32
# words in each text
LENGTHS = {"6 words": (6, 6), "120 words": (120, 120), "20 to 220 words": (20, 220)}


@pytest.fixture(params=LENGTHS)
def texts(request: pytest.FixtureRequest) -> list[str]:
    shortest, longest = LENGTHS[request.param]
    dice = random.Random(0)
    return [content.text(dice.randint(shortest, longest)) for _ in range(COUNT)]


def test_reranking_32(texts: list[str], report: Callable[..., None]) -> None:
    directory = str(models.directory("minilm-l6"))
    ways = both(reranker, ModelSpec("reranker", directory, dtype="float32"))
    plain, query = CrossEncoder(directory, device="cpu"), content.text(6)

    def scored(model: CrossEncoderReranker) -> None:
        asked = model.asked([query], "")
        model.forward([model.prepare(asked, [text]) for text in texts], 1)

    calls: dict[str, Callable[[], Any]] = {way: functools.partial(scored, model) for way, model in ways.items()}
    calls["predict"] = lambda: plain.predict([(query, text) for text in texts], show_progress_bar=False)
    report_ratios(report, calls)


def test_embedding_32(texts: list[str], report: Callable[..., None]) -> None:
    directory = str(models.directory("minilm-l6-embed"))
    ways = both(embedder, ModelSpec("embedder", directory, dtype="float32"))
    plain = SentenceTransformer(directory, device="cpu")

    def embedded(model: SentenceEmbedder) -> None:
        model.forward([model.prepare([text], Task.DOCUMENT, "") for text in texts], 1)

    calls: dict[str, Callable[[], Any]] = {way: functools.partial(embedded, model) for way, model in ways.items()}
    calls["encode"] = lambda: plain.encode(texts, show_progress_bar=False)
    report_ratios(report, calls)


def both(kind: Any, spec: ModelSpec) -> dict[str, Any]:
    faster = kind.load(spec, SETTINGS)
    with loaded_the_standard_way():
        standard = kind.load(spec, SETTINGS)
    assert (faster.info.tier, standard.info.tier) == (Bert.name, Standard.name)
    return {"faster": faster, "standard": standard}


def report_ratios(report: Callable[..., None], calls: Mapping[str, Callable[[], Any]]) -> None:
    torch.set_num_threads(1)
    turns = [{name: cpu_seconds(call) for name, call in calls.items()} for _ in range(ROUNDS + 1)][1:]
    taken = {name: statistics.median(turn[name] for turn in turns) for name in calls}
    ratios = {f"faster_per_{name}": taken["faster"] / taken[name] for name in calls if name != "faster"}
    report(**ratios, **{f"{name}_ms": each * 1000 for name, each in taken.items()})


def cpu_seconds(call: Callable[[], Any]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began
