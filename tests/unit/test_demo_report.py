"""Figures, GraphQL and the report of the demo, on answers made by hand."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from uuid import UUID

import pytest

pytest.importorskip("weaviate.classes", reason="weaviate-client is not installed")

from weaviate_prism.bundled.scenes import Facts, Scene
from weaviate_prism.demo import measure, report
from weaviate_prism.demo.collection import Imported
from weaviate_prism.demo.gallery import Entry
from weaviate_prism.demo.measure import Comparison, ndcg, same_order
from weaviate_prism.demo.questions import Question
from weaviate_prism.demo.results import Played, Results, expectations
from weaviate_prism.demo.search import Answer, Hit, graphql

RIGHT = Facts("group", "red", "circle", "small", "three")
WRONG = Facts("group", "blue", "circle", "small", "three")
CLIP = Facts("clip", "red", "circle", change="blinks")
QUESTION = Question("near_text", "picture", RIGHT, "three small red circles")


def hit(number: int, facts: Facts, score: float, title: str = "IMG_0001.png") -> Hit:
    entry = Entry(UUID(int=number), "clip" if facts.kind == "clip" else "picture", title, Scene(facts, number))
    return Hit(entry, score, facts == RIGHT)


WORSE = Answer((hit(1, WRONG, 0.9), hit(2, RIGHT, 0.8)), 0.010)
BETTER = Answer((hit(2, RIGHT, 0.99), hit(1, WRONG, 0.01)), 0.100)


def results(before: Answer, after: Answer) -> Results:
    comparison = Comparison(QUESTION, 1, before, after)
    played = [Played(comparison, after)]
    averages = measure.figures("all", [comparison])
    entries = [each.entry for each in after.hits]
    told = expectations(played, averages, averages)
    return Results(entries, Imported(2, 0.1, "multi2vec-bind"), played, averages, [averages], averages, told)


@pytest.mark.parametrize(
    ("gains", "right", "expected"),
    [([True, False], 1, 1.0), ([False, True], 1, 0.6309), ([False, False], 3, 0.0), ([True] * 10, 25, 1.0)],
)
def test_ndcg_is_one_for_the_best_order_that_was_possible(gains: list[bool], right: int, expected: float) -> None:
    assert ndcg(gains, right) == pytest.approx(expected, abs=1e-4)


def test_all_expectations_hold_when_reranking_puts_the_right_one_first() -> None:
    assert results(WORSE, BETTER).good


def test_expectation_that_does_not_hold_is_named() -> None:
    failed = [expectation.text for expectation in results(BETTER, WORSE).failed]
    assert any("three small red circles" in text and "first result after reranking is right" in text for text in failed)
    assert "reranking improves the random searches on average" in failed


def test_equal_scores_may_come_in_any_order_but_other_scores_may_not() -> None:
    one, other = hit(1, WRONG, 0.5), hit(2, RIGHT, 0.5)
    assert same_order(Answer((one, other), 0.1), Answer((other, one), 0.2))
    assert not same_order(BETTER, WORSE)


def test_graphql_query_reranks_the_blob_by_the_question() -> None:
    query = graphql(QUESTION)
    assert 'nearText: {concepts: ["three small red circles"]}' in query
    assert 'rerank(property: "picture", query: "three small red circles")' in query
    assert query.count("{") == query.count("}")


def test_graphql_query_of_an_example_carries_it_twice() -> None:
    query = graphql(Question("near_image", "picture", RIGHT, example=Scene(RIGHT, 7)))
    found, reranked = re.findall(r'"(iVBORw0KGgo[^"]+)"', query)
    assert found == reranked


def test_graphql_query_quotes_text() -> None:
    assert 'concepts: ["a \\"red\\" circle"]' in graphql(Question("near_text", "note", RIGHT, 'a "red" circle'))


class Resources(HTMLParser):
    """Collects all that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def written(tmp_path: Path, told: Results) -> str:
    path = tmp_path / "report.html"
    report.write(path, told)
    return path.read_text("utf-8")


def test_report_loads_nothing_from_outside(tmp_path: Path) -> None:
    page = written(tmp_path, results(WORSE, BETTER))
    resources = Resources()
    resources.feed(page)
    assert resources.found
    assert all(each.startswith("data:image/webp;base64,") for each in resources.found)
    assert not {"script", "link", "iframe"} & resources.tags
    assert "url(" not in page
    assert "@import" not in page


def test_report_escapes_what_comes_from_objects(tmp_path: Path) -> None:
    evil = hit(2, RIGHT, 0.99, title="<script>alert('x')</script>")
    page = written(tmp_path, results(WORSE, Answer((evil, BETTER.hits[1]), 0.1)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_report_marks_right_results_and_tells_what_failed(tmp_path: Path) -> None:
    page = written(tmp_path, results(BETTER, WORSE))
    assert 'class="is-right"' in page
    assert "does not hold" in page
    assert "does not hold" not in written(tmp_path, results(WORSE, BETTER))


def test_report_shows_frames_of_clips_side_by_side() -> None:
    width, height = report.film(Scene(CLIP, 1)).size
    assert width > 4 * height
