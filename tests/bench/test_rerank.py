"""Seconds to rerank all documents of one search, as Weaviate sends it, against `CrossEncoder.predict` in batches of 32.

`ratio`: how many times as long the other takes as Prism does with documents that are new, or that it has seen under
another query; `predict` keeps nothing. infinity-emb reranks texts only.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from bench import content, peers
from bench.infinity import Infinity
from bench.load import drive, http, post
from bench.table import AMX
from bench.timing import seconds
from servers import Prism

WORDS = 120
SHORTEST, LONGEST = 20, 220


@dataclass(frozen=True)
class Case:
    model: str
    kind: str
    count: int
    rounds: int
    size: tuple[int, int] = (0, 0)
    wanted: Mapping[str, float] = field(default_factory=dict)

    def documents(self) -> list[Any]:
        lengths = random.Random(next(content.numbers))
        makers: dict[str, Callable[[], Any]] = {
            "texts": lambda: content.text(WORDS),
            "texts of any length": lambda: content.text(lengths.randint(SHORTEST, LONGEST)),
            "images": lambda: content.photograph(*self.size),
            "video": lambda: content.clip(*self.size),
        }
        return [makers[self.kind]() for _ in range(self.count)]

    def __str__(self) -> str:
        texts = {"texts": f"{WORDS} words", "texts of any length": f"{SHORTEST} to {LONGEST} words"}
        if self.kind in texts:
            return f"{self.count} texts of {texts[self.kind]}"
        noun = {"images": "pictures of", "video": "clips of 10 s,"}[self.kind]
        return f"{self.count} {noun} {self.size[0]}x{self.size[1]}"


SMALL, VGA, FILM = (256, 256), (640, 480), (256, 192)
NEW_AND_SEEN = {"predict, new": 5, "predict, seen": 15}
# Plain `predict` of 100 documents takes mid-rerank half a minute and more on two cores: one turn must do. There are no
# 100 clips by it: they take 67 s, and a request has 50.
CASES = [
    Case("mid-rerank", "texts of any length", 32, 3, wanted={"predict, new": 8 if AMX else 2.5}),
    Case("mid-rerank", "texts", 32, 3, wanted={"predict, new": 8 if AMX else 2.5}),
    Case("mid-rerank", "texts", 100, 1),
    Case("mid-rerank", "images", 32, 3, SMALL, NEW_AND_SEEN),
    Case("mid-rerank", "images", 100, 1, SMALL),
    Case("mid-rerank", "images", 32, 1, VGA, NEW_AND_SEEN),
    Case("mid-rerank", "video", 32, 1, FILM),
    *(
        Case("scenes-reranker", kind, count, 5, size)
        for kind, size in (("texts", (0, 0)), ("images", SMALL), ("images", VGA), ("video", FILM))
        for count in (32, 100)
    ),
    Case("minilm-l6", "texts", 32, 3),
    Case("minilm-l6", "texts", 100, 3),
    Case("qwen3-vl-2b-rerank", "texts", 32, 3),
    Case("qwen3-vl-2b-rerank", "images", 32, 3, VGA, {"predict, new": 2, "predict, seen": 5}),
]
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=ON_GPU if "2b" in case.model else (), id=f"{case.model} {case}".replace(" ", "_"))
        for case in CASES
    ],
)
def test_reranking(case: Case, report: Callable[..., None]) -> None:
    plain = peers.plain_reranker(case.model)
    taken: dict[str, list[float]] = {}
    other = peers.infinity(case.model) if case.model == "minilm-l6" else nullcontext()
    with peers.serving(reranker=case.model) as prism, other as server:
        turn(case, prism, server, "warm", case.documents()[:4])
        for _ in range(case.rounds):
            documents = case.documents()
            ways = turn(case, prism, server, content.text(6), documents)
            query = content.text(6)
            ways["predict"] = seconds(lambda: peers.predict(plain, query, case.kind, documents))  # noqa: B023 - at once
            for name, each in ways.items():
                taken.setdefault(name, []).append(each)
        words = peers.described(prism, "reranker")
    medians = {name: statistics.median(each) for name, each in taken.items()}
    others = {name: medians.pop(name) for name in ("predict", "infinity-emb") if name in medians}
    report(
        what=str(case),
        model=case.model,
        **words,
        cache=" and ".join(medians),
        ratio={f"{other}, {name}": each / own for other, each in others.items() for name, own in medians.items()},
        wanted=case.wanted,
        seconds={**medians, **others},
        threads=torch.get_num_threads(),
    )


def turn(case: Case, prism: Prism, server: Infinity | None, query: str, documents: list[Any]) -> dict[str, float]:
    """Seconds of each server for these documents, and for media once more under another query."""

    def ask(query: str) -> float:
        requests = peers.rerank_requests(query, documents)
        return seconds(lambda: drive(http(prism.url), requests, len(requests)))

    taken = {"new": ask(query)}
    if not case.kind.startswith("texts"):
        taken["seen"] = ask(content.text(6))
    if server:
        whole = post("/rerank", {"model": server.model, "query": query, "documents": documents})
        taken["infinity-emb"] = seconds(lambda: drive(http(server.url), [whole], 1))
    return taken
