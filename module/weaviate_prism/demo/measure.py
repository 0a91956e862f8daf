"""Figures of merit: how good an order is, and what reranking makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from weaviate_prism.demo.questions import Question
from weaviate_prism.demo.search import DEPTH, Answer


def ndcg(gains: Sequence[bool], right: int) -> float:
    """nDCG@10 with gains of 0 and 1; `right` is how many right answers there are to be found."""
    ideal = discounted([True] * min(right, DEPTH))
    return discounted(gains) / ideal


def discounted(gains: Sequence[bool]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


@dataclass(frozen=True)
class Comparison:
    """One question, answered without and with reranking."""

    question: Question
    right: int  # right answers in the collection
    before: Answer
    after: Answer

    def ndcg(self, answer: Answer) -> float:
        return ndcg([hit.right for hit in answer.hits], self.right)

    @property
    def gain(self) -> float:
        """nDCG@10 that reranking adds."""
        return self.ndcg(self.after) - self.ndcg(self.before)

    @property
    def kept(self) -> bool:
        """Reranking re-orders; it neither finds nor loses anything."""
        return {hit.entry.id for hit in self.before.hits} == {hit.entry.id for hit in self.after.hits}


@dataclass(frozen=True)
class Figures:
    """Averages over some questions; pairs are before and after reranking."""

    name: str
    questions: int
    ndcg: tuple[float, float]
    first: tuple[float, float]  # share of questions whose first result is right
    milliseconds: tuple[float, float]  # medians

    @property
    def gain(self) -> float:
        return self.ndcg[1] - self.ndcg[0]


def figures(name: str, comparisons: Sequence[Comparison]) -> Figures:
    """Averages over these comparisons."""
    sides = [[each.before for each in comparisons], [each.after for each in comparisons]]
    ndcgs = [mean(each.ndcg(answer) for each, answer in zip(comparisons, side, strict=True)) for side in sides]
    firsts = [mean(float(answer.hits[0].right) for answer in side) for side in sides]
    times = [median(answer.seconds for answer in side) * 1000 for side in sides]
    return Figures(name, len(comparisons), (ndcgs[0], ndcgs[1]), (firsts[0], firsts[1]), (times[0], times[1]))


def same_order(one: Answer, other: Answer) -> bool:
    """The same results with the same scores; equal scores may come in any order."""
    scores = zip(one.hits, other.hits, strict=True)
    same = {hit.entry.id for hit in one.hits} == {hit.entry.id for hit in other.hits}
    return same and all(math.isclose(a.score, b.score, abs_tol=1e-4) for a, b in scores)
