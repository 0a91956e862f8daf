"""The searches of the tests: what is asked with, and which property is searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weaviate.classes.query import NearMediaType

from objects import AnyCollection, clip, picture, redrawn
from weaviate_prism.bundled.scenes import Scene


def near_text(collection: AnyCollection, asked: str, **options: Any) -> Any:
    return collection.query.near_text(asked, **options)


def near_image(collection: AnyCollection, asked: str, **options: Any) -> Any:
    return collection.query.near_image(asked, **options)


def near_video(collection: AnyCollection, asked: str, **options: Any) -> Any:
    return collection.query.near_media(asked, NearMediaType.VIDEO, **options)


@dataclass(frozen=True)
class Search:
    """A way to look for a scene in one property, whose vector has the same name."""

    field: str
    kind: str  # what Prism's /vectorize calls it
    query: Callable[[Scene], str]  # a text, or base64
    run: Callable[..., Any]

    def __call__(self, collection: AnyCollection, query: str, **options: Any) -> list[Any]:
        """The objects that Weaviate finds."""
        found: list[Any] = self.run(collection, query, target_vector=self.field, **options).objects
        return found


def phrase(scene: Scene) -> str:
    return scene.queries[1].text


SEARCHES: Mapping[str, Search] = {
    "text to title": Search("title", "texts", phrase, near_text),
    "text to picture": Search("picture", "texts", phrase, near_text),
    "text to clip": Search("clip", "texts", phrase, near_text),
    "picture to picture": Search("picture", "images", lambda scene: picture(redrawn(scene)), near_image),
    "clip to clip": Search("clip", "video", lambda scene: clip(redrawn(scene)), near_video),
}
