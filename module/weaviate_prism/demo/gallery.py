"""The objects of the demo: pictures and clips named as a camera names them, some pictures with a title, and notes.

For every question there are a few right objects and some that differ from them in one fact; the rest is random. Most
titles say nothing ("IMG_0042.png"), so what is found is found by looking.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import pybase64
from rich.console import Console
from rich.progress import track

from weaviate_prism.bundled.scenes import PICTURE_KINDS, Facts, Kind, Scene, all_facts, random_scene
from weaviate_prism.demo.questions import QUESTIONS, Medium, Question, drawn
from weaviate_prism.demo.service import DemoError

SEED = 20_261_122
RIGHT, NEARLY = 3, 4
FEWEST, MOST = len(QUESTIONS) * (RIGHT + NEARLY), 5_000
MEDIA: tuple[Medium, ...] = ("picture", "picture", "picture", "clip", "note")
TITLED = 4  # one picture in so many


@dataclass(frozen=True)
class Entry:
    """One object: what it shows is known here, not in Weaviate."""

    id: UUID
    medium: Medium
    title: str
    scene: Scene

    @cached_property
    def media(self) -> bytes:
        """The PNG or MP4; b"" for a note."""
        return b"" if self.medium == "note" else drawn(self.scene)

    def properties(self) -> dict[str, Any]:
        """As Weaviate gets it."""
        blob: dict[str, str] = {self.medium: pybase64.b64encode(self.media).decode()} if self.media else {}
        return {"kind": self.medium, "title": self.title, **blob}


def make(count: int) -> list[Entry]:
    """`count` objects in random order, the same on every call."""
    rng = random.Random(SEED)
    chosen = [(question.medium, scene) for question in QUESTIONS for scene in answers(question, rng)]
    for index in range(count - len(chosen)):
        medium = MEDIA[index % len(MEDIA)]
        chosen.append((medium, random_scene(rng, rng.choice(kinds_of(medium)))))
    rng.shuffle(chosen)
    return [
        Entry(UUID(int=rng.getrandbits(128), version=4), medium, title(medium, scene, number), scene)
        for number, (medium, scene) in enumerate(chosen)
    ]


def answers(question: Question, rng: random.Random) -> list[Scene]:
    """Drawings that answer a question, and drawings that are wrong in one fact."""
    deck = list(all_facts(question.facts.kind))
    right = [facts for facts in deck if question.facts.matches(facts)]
    nearly = [facts for facts in deck if question.facts.differences(facts) == 1]
    return scenes(rng.choices(right, k=RIGHT), rng) + scenes(rng.sample(nearly, NEARLY), rng)


def scenes(facts: Sequence[Facts], rng: random.Random) -> list[Scene]:
    return [Scene(each, rng.getrandbits(48)) for each in facts]


def kinds_of(medium: Medium) -> Sequence[Kind]:
    return ("clip",) if medium == "clip" else PICTURE_KINDS


def title(medium: Medium, scene: Scene, number: int) -> str:
    if medium == "note" or (medium == "picture" and number % TITLED == 0):
        return scene.caption
    return f"IMG_{number:04}.png" if medium == "picture" else f"MOV_{number:04}.mp4"


def draw(entries: Sequence[Entry], console: Console) -> None:
    """Draws all pictures and clips; they stay with their entries.

    Raises:
        DemoError: clips cannot be encoded.
    """
    for entry in track(entries, "drawing pictures and clips", console=console):
        try:
            entry.media  # noqa: B018
        except (ImportError, RuntimeError) as error:
            raise DemoError("cannot encode clips, are FFmpeg's libraries installed? (apt install ffmpeg)") from error
