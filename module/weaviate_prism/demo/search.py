"""Asks Weaviate: through the client, which speaks gRPC, and with a GraphQL query."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pybase64
from weaviate import WeaviateClient
from weaviate.classes.query import Filter, MetadataQuery, NearMediaType, Rerank

from weaviate_prism.demo.collection import NAME
from weaviate_prism.demo.gallery import Entry
from weaviate_prism.demo.questions import Question
from weaviate_prism.demo.service import DemoError

DEPTH = 10
"""Results per search; Weaviate hands exactly these to the reranker."""


ALPHA = 0.75
"""Hybrid: the vector's weight against the words'. Weaviate's default, said so that gRPC and GraphQL ask the same."""


@dataclass(frozen=True)
class Hit:
    """One result, and whether it answers the question."""

    entry: Entry
    score: float  # of the reranker, else cosine similarity, or for hybrid the fused score
    right: bool


@dataclass(frozen=True)
class Answer:
    """The results of one search, best first."""

    hits: tuple[Hit, ...]
    seconds: float


class Searcher:
    """Searches the collection and knows what its objects show."""

    def __init__(self, client: WeaviateClient, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._client = client
        self._query = client.collections.use(NAME).query
        self._by_id = {entry.id: entry for entry in entries}

    def right_answers(self, question: Question) -> int:
        """How many objects of the collection answer the question."""
        return sum(
            entry.medium == question.medium and question.facts.matches(entry.scene.facts) for entry in self.entries
        )

    def by_grpc(self, question: Question, rerank: bool) -> Answer:
        """The search through weaviate-client's own methods."""
        media = encoded(question)
        ask: dict[str, Any] = {
            "limit": DEPTH,
            "filters": Filter.by_property("kind").equal(question.medium),
            "return_metadata": MetadataQuery(distance=True, score=True),
            "return_properties": ["title"],
            "rerank": Rerank(prop=question.reranked_property, query=question.text or media) if rerank else None,
        }
        started = time.perf_counter()
        match question.search:
            case "near_text":
                found = self._query.near_text(question.text, **ask)
            case "near_image":
                found = self._query.near_image(media, **ask)
            case "near_video":
                found = self._query.near_media(media, NearMediaType.VIDEO, **ask)
            case "hybrid":
                found = self._query.hybrid(question.text, alpha=ALPHA, **ask)
        seconds = time.perf_counter() - started
        return self._answer(question, ((each.uuid, score(each.metadata, question)) for each in found.objects), seconds)

    def by_graphql(self, question: Question) -> Answer:
        """The search with reranking as one GraphQL query.

        Raises:
            DemoError: Weaviate answers with an error.
        """
        query = graphql(question)
        started = time.perf_counter()
        found = self._client.graphql_raw_query(query)
        seconds = time.perf_counter() - started
        if found.errors:
            raise DemoError(f"GraphQL: {json.dumps(found.errors)[:500]}")
        rows = (row["_additional"] for row in found.get[NAME])
        return self._answer(question, ((UUID(row["id"]), row["rerank"][0]["score"]) for row in rows), seconds)

    def _answer(self, question: Question, found: Iterable[tuple[UUID, float]], seconds: float) -> Answer:
        pairs = ((self._by_id[id_], score) for id_, score in found)
        hits = (Hit(entry, score, question.facts.matches(entry.scene.facts)) for entry, score in pairs)
        return Answer(tuple(hits), seconds)


def encoded(question: Question) -> str:
    return pybase64.b64encode(question.media()).decode()


def score(metadata: Any, question: Question) -> float:
    """The number that decided the order."""
    if metadata.rerank_score is not None:
        return float(metadata.rerank_score)
    return float(metadata.score) if question.search == "hybrid" else 1 - float(metadata.distance)


def graphql(question: Question) -> str:
    """The query text; JSON's strings are GraphQL's. No variables: Weaviate's rerank takes literals only."""
    media = json.dumps(encoded(question))
    text = json.dumps(question.text)
    search = {
        "near_text": f"nearText: {{concepts: [{text}]}}",
        "near_image": f"nearImage: {{image: {media}}}",
        "near_video": f"nearVideo: {{video: {media}}}",
        "hybrid": f"hybrid: {{query: {text}, alpha: {ALPHA}}}",
    }[question.search]
    where = f'where: {{path: ["kind"], operator: Equal, valueText: "{question.medium}"}}'
    rerank = f'rerank(property: "{question.reranked_property}", query: {text if question.text else media}) {{score}}'
    return f"{{Get {{{NAME}({search}, {where}, limit: {DEPTH}) {{_additional {{id {rerank}}}}}}}}}"
