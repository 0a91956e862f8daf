"""A collection that many tests search and none changes."""

from __future__ import annotations

from dataclasses import dataclass

from objects import AnyCollection, SceneObject
from servers import Stack
from weaviate_prism.bundled.scenes import Facts, Scene


@dataclass(frozen=True)
class Gallery:
    """Objects in a collection with a vector for each property, on the bundled models."""

    stack: Stack
    collection: AnyCollection
    objects: dict[str, SceneObject]

    def scenes(self, field: str) -> list[Scene]:
        """What the objects' titles, pictures or clips show."""
        return [each.scene(field) for each in self.objects.values()]

    def facts(self, uuid: object, field: str) -> Facts:
        """What is true of a property of one object."""
        return self.objects[str(uuid)].scene(field).facts
