"""Asks all questions: those that are shown one by one, then the survey."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import track
from weaviate import WeaviateClient

from weaviate_prism.demo import survey, tables
from weaviate_prism.demo.collection import Imported
from weaviate_prism.demo.gallery import Entry
from weaviate_prism.demo.measure import Comparison, figures
from weaviate_prism.demo.questions import QUESTIONS, Question
from weaviate_prism.demo.results import Played, Results, expectations
from weaviate_prism.demo.search import Searcher


def play(client: WeaviateClient, entries: Sequence[Entry], imported: Imported, console: Console) -> Results:
    """Asks everything, printing a table per question."""
    searcher = Searcher(client, entries)
    parts = list(survey.slices(entries))
    for _, questions in parts:  # the first search of each kind pays for what later ones find in place
        compare(searcher, questions[-1])
    played = []
    for question in QUESTIONS:
        played.append(Played(compare(searcher, question), searcher.by_graphql(question)))
        tables.show(console, played[-1])
    drawn = [(name, question) for name, questions in parts for question in questions]
    asked: dict[str, list[Comparison]] = {name: [] for name, _ in parts}
    for name, question in track(drawn, "random searches", console=console):
        asked[name].append(compare(searcher, question))
    shown = figures("the searches above", [each.comparison for each in played])
    slices = [figures(name, comparisons) for name, comparisons in asked.items()]
    overall = figures("all of these", [each for comparisons in asked.values() for each in comparisons])
    return Results(entries, imported, played, shown, slices, overall, expectations(played, shown, overall))


def compare(searcher: Searcher, question: Question) -> Comparison:
    """One question without and with reranking."""
    before, after = searcher.by_grpc(question, rerank=False), searcher.by_grpc(question, rerank=True)
    return Comparison(question, searcher.right_answers(question), before, after)
