"""What the terminal shows: one table per question, then the figures and what did not hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weaviate_prism.demo.gallery import Entry
from weaviate_prism.demo.measure import Figures
from weaviate_prism.demo.results import Played, Results
from weaviate_prism.demo.search import Hit

ROWS = 5


def introduce(console: Console, entries: Sequence[Entry]) -> None:
    """What the collection holds, and why its titles do not help."""
    media = Counter(entry.medium for entry in entries)
    named = sum(entry.medium != "note" and entry.title != entry.scene.caption for entry in entries)
    console.print(
        f"{len(entries)} objects: {media['picture']} pictures, {media['clip']} clips, {media['note']} notes. {named} "
        'have a title like "IMG_0042.png": whoever wants to find them has to look at them. Each vector is the mean of '
        "the title's and the picture's or clip's; the reranker looks at the picture or clip alone. For each search "
        "below there are a few right objects and some that are wrong in a single fact.\n"
    )


def show(console: Console, played: Played) -> None:
    """One question: its first results before and after reranking, and the figures."""
    comparison = played.comparison
    question, before, after = comparison.question, comparison.before, comparison.after
    table = Table(title=f"[b]{question.search}[/b] {escape(question.describe())}", title_justify="left")
    table.add_column("")
    for heading in (f"found, kind = {question.medium}", f"reranked by {question.reranked_property}"):
        table.add_column(heading, no_wrap=True, ratio=1)
        table.add_column("score", justify="right")
    for rank, (old, new) in enumerate(zip(before.hits[:ROWS], after.hits[:ROWS], strict=True), 1):
        table.add_row(str(rank), *cells(old), *cells(new))
    console.print(table)
    times = [f"{answer.seconds * 1000:.0f} ms" for answer in (before, after, played.graphql)]
    console.print(
        f"   nDCG@10 {comparison.ndcg(before):.2f} -> {comparison.ndcg(after):.2f}, "
        f"{times[0]} -> {times[1]}, the same by GraphQL {times[2]}\n"
    )


def cells(hit: Hit) -> tuple[str, str]:
    mark = "[green]✓[/green]" if hit.right else "[dim]·[/dim]"
    return f"{mark} {escape(hit.entry.scene.caption)}", f"{hit.score:.3f}"


def conclude(console: Console, results: Results) -> None:
    """The figures, and the expectations that do not hold."""
    table = Table(title="Searches by another drawing or other words, about random objects", title_justify="left")
    for heading in ("", "searches", "nDCG@10", "first is right", "median ms"):
        table.add_column(heading, justify="left" if not heading else "right")
    for figures in results.slices:
        table.add_row(*row(figures))
    table.add_section()
    table.add_row(*row(results.overall))
    table.add_row(*row(results.shown))
    console.print(table)
    for expectation in results.failed:
        console.print(f"does not hold: {expectation.text}", style="red", markup=False)
    console.print(f"{len(results.expectations) - len(results.failed)} of {len(results.expectations)} expectations hold")


def row(figures: Figures) -> tuple[str, ...]:
    return (
        figures.name,
        str(figures.questions),
        "{:.3f} -> {:.3f}".format(*figures.ndcg),
        "{:.0%} -> {:.0%}".format(*figures.first),
        "{:.0f} -> {:.0f}".format(*figures.milliseconds),
    )
