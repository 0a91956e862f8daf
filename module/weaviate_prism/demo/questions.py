"""What the demo asks, and the facts that make an answer right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weaviate_prism.bundled.drawing import clip_mp4, picture_png
from weaviate_prism.bundled.scenes import Facts, Scene

Medium = Literal["picture", "clip", "note"]
"""What an object is; the value of its property `kind`."""

Search = Literal["near_text", "near_image", "near_video", "hybrid"]

RERANKED: dict[Medium, str] = {"picture": "picture", "clip": "clip", "note": "title"}
"""The property that the reranker looks at: blobs, but for notes."""

PICTURE_PIXELS = 256
CLIP_PIXELS = 128


@dataclass(frozen=True)
class Question:
    """One search in one medium, by words or by an example, and the query that its results are reranked by."""

    search: Search
    medium: Medium
    facts: Facts
    text: str = ""
    example: Scene | None = None  # of near_image and near_video, never an object of the collection

    @property
    def reranked_property(self) -> str:
        return RERANKED[self.medium]

    def media(self) -> bytes:
        """The example as a file, b"" for a search by words."""
        return b"" if self.example is None else drawn(self.example)

    def describe(self) -> str:
        """What is asked, for a heading."""
        if self.example is None:
            return f'"{self.text}"'
        return f"a {'clip' if self.example.is_clip else 'picture'} of {self.example.caption}"


def drawn(scene: Scene) -> bytes:
    """A scene as a PNG, or as an MP4 if it is a clip."""
    return clip_mp4(scene, CLIP_PIXELS) if scene.is_clip else picture_png(scene, PICTURE_PIXELS)


def by_words(search: Search, medium: Medium, text: str, facts: Facts) -> Question:
    return Question(search, medium, facts, text)


def by_example(search: Search, medium: Medium, facts: Facts, seed: int) -> Question:
    return Question(search, medium, facts, example=Scene(facts, seed))


QUESTIONS = (
    by_words("near_text", "picture", "a picture of four purple stars", Facts("group", "purple", "star", count="four")),
    by_words(
        "near_text",
        "picture",
        "red circle under yellow square",
        Facts("pair", "yellow", "square", relation="above", other_colour="red", other_shape="circle"),
    ),
    by_words("near_text", "picture", "a rising purple line chart", Facts("chart", "purple", "line", change="rises")),
    by_example("near_image", "picture", Facts("group", "blue", "square", "small", "four"), seed=11),
    by_words(
        "hybrid",
        "picture",
        "a picture of two large yellow triangles",
        Facts("group", "yellow", "triangle", "large", "two"),
    ),
    by_words("near_text", "clip", "a yellow star that blinks", Facts("clip", "yellow", "star", change="blinks")),
    by_example("near_video", "clip", Facts("clip", "green", "star", change="grows"), seed=12),
    by_words(
        "near_text",
        "note",
        "a purple triangle above a green triangle",
        Facts("pair", "purple", "triangle", relation="above", other_colour="green", other_shape="triangle"),
    ),
)
