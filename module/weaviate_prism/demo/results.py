"""All that the demo found out, and what was expected of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weaviate_prism.demo.collection import Imported
from weaviate_prism.demo.gallery import Entry
from weaviate_prism.demo.measure import Comparison, Figures, same_order
from weaviate_prism.demo.search import Answer


@dataclass(frozen=True)
class Played:
    """One of the demo's own questions with all of its answers."""

    comparison: Comparison
    graphql: Answer  # with reranking


@dataclass(frozen=True)
class Expectation:
    """Something that must be so, and whether it is."""

    text: str
    holds: bool


@dataclass(frozen=True)
class Results:
    """What the tables and the report tell."""

    entries: Sequence[Entry]
    imported: Imported
    played: Sequence[Played]
    shown: Figures  # of the questions shown
    slices: Sequence[Figures]  # of the survey, one per way of searching
    overall: Figures  # of the whole survey
    expectations: Sequence[Expectation]

    @property
    def good(self) -> bool:
        return not self.failed

    @property
    def failed(self) -> list[Expectation]:
        return [expectation for expectation in self.expectations if not expectation.holds]


def expectations(played: Sequence[Played], shown: Figures, overall: Figures) -> list[Expectation]:
    """What must hold: of each question shown, of all of them, and of the survey."""
    return [
        *(expectation for each in played for expectation in expected_of(each)),
        Expectation("reranking improves the searches shown on average", shown.gain > 0),
        Expectation("reranking improves the random searches on average", overall.gain > 0),
    ]


def expected_of(played: Played) -> list[Expectation]:
    comparison = played.comparison
    name = f"{comparison.question.search} {comparison.question.describe()}"
    return [
        Expectation(f"{name}: the first result after reranking is right", comparison.after.hits[0].right),
        Expectation(f"{name}: reranking makes nothing worse", comparison.gain >= 0),
        Expectation(f"{name}: reranking keeps the results that were found", comparison.kept),
        Expectation(f"{name}: GraphQL answers the same", same_order(comparison.after, played.graphql)),
    ]
