"""A larger set of questions, drawn at random, so that the figures do not rest on those that are shown."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from weaviate_prism.bundled.scenes import Scene
from weaviate_prism.demo.gallery import Entry
from weaviate_prism.demo.questions import Medium, Question, Search

SEED = 20_261_123
QUESTIONS = 12  # per way of searching
WAYS: tuple[tuple[str, Search, Medium], ...] = (
    ("words to pictures", "near_text", "picture"),
    ("words to pictures, hybrid", "hybrid", "picture"),
    ("picture to pictures", "near_image", "picture"),
    ("words to notes", "near_text", "note"),
    ("words to clips", "near_text", "clip"),
    ("clip to clips", "near_video", "clip"),
)


def slices(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Question]]]:
    """Each way of searching by its name, with questions about random objects of the collection."""
    rng = random.Random(SEED)
    for name, search, medium in WAYS:
        candidates = [entry for entry in entries if entry.medium == medium]
        chosen = rng.sample(candidates, min(QUESTIONS, len(candidates)))
        yield name, [ask(search, entry, rng) for entry in chosen]


def ask(search: Search, entry: Entry, rng: random.Random) -> Question:
    """A question that this object answers: in random words, or by another drawing of the same facts."""
    facts = entry.scene.facts
    if search in ("near_image", "near_video"):
        return Question(search, entry.medium, facts, example=Scene(facts, rng.getrandbits(48)))
    query = rng.choice(entry.scene.queries)
    return Question(search, entry.medium, query.facts, query.text)
