"""Objects of the drawn world in Weaviate: a title, a picture that shows what it says, and a clip of something else."""

from __future__ import annotations

import base64
import functools
import io
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, cast

import numpy as np
from PIL import Image
from weaviate import WeaviateClient
from weaviate.classes.config import Configure, DataType, Property
from weaviate.collections import Collection

from servers import Prism
from weaviate_prism.bundled.drawing import clip_mp4, picture_png
from weaviate_prism.bundled.scenes import PICTURE_KINDS, Scene, make_scenes, random_scene

# Models see clips at 48 pixels; encoding 500 of 256 pixels would take minutes.
CLIP_SIZE = 64

AnyCollection: TypeAlias = Collection[Any, Any]
Batch: TypeAlias = Callable[[AnyCollection], AbstractContextManager[Any]]

# The ways in which weaviate-client sends many objects: as unary requests, and through one stream.
BATCHES: Mapping[str, Batch] = {
    "dynamic": lambda collection: collection.batch.dynamic(),
    "stream": lambda collection: collection.batch.stream(),
}

JPEG_COMMENT, JPEG_COMMENT_BYTES = b"\xff\xfe", 65_000


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def picture(scene: Scene) -> str:
    return b64(picture_png(scene))


def clip(scene: Scene) -> str:
    return b64(clip_mp4(scene, CLIP_SIZE))


@functools.cache
def jpeg(colour: str = "red") -> bytes:
    """A small picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "JPEG")
    return file.getvalue()


def padded_jpeg(number: int, size: int, small: bytes | None = None) -> bytes:
    """A picture, by default a red one, with comments to make it `size` bytes and different for each number."""
    small = small or jpeg()
    space = size - len(small)
    comments = b""
    while len(comments) < space:
        length = min(space - len(comments), JPEG_COMMENT_BYTES) - len(JPEG_COMMENT)
        comments += JPEG_COMMENT + length.to_bytes(2, "big") + number.to_bytes(8, "big").ljust(length - 2, b"-")
    return small[:2] + comments + small[2:]


def redrawn(scene: Scene) -> Scene:
    """Another drawing of the same facts."""
    return Scene(scene.facts, scene.seed + 1)


@dataclass(frozen=True)
class SceneObject:
    """One object; its media are drawn when they are first asked for."""

    uuid: str
    drawn: Scene
    filmed: Scene

    @cached_property
    def properties(self) -> dict[str, str]:
        return {"title": self.drawn.caption, "picture": picture(self.drawn), "clip": clip(self.filmed)}

    def scene(self, field: str) -> Scene:
        """What one of its properties shows."""
        return self.filmed if field == "clip" else self.drawn


def scene_objects(count: int, seed: int) -> list[SceneObject]:
    """Objects whose pictures all show different things; no two clips are the same drawing."""
    rng = random.Random(seed)
    scenes = make_scenes(count, seed, PICTURE_KINDS)
    return [SceneObject(str(uuid.UUID(int=rng.getrandbits(128), version=4)), scene, _film(rng)) for scene in scenes]


def _film(rng: random.Random) -> Scene:
    return random_scene(rng, "clip")


PROPERTIES = [
    Property(name="title", data_type=DataType.TEXT),
    Property(name="picture", data_type=DataType.BLOB),
    Property(name="clip", data_type=DataType.BLOB),
]


def averaged(client: WeaviateClient, name: str) -> AnyCollection:
    """A collection with one vector, the mean of the three that Prism gives for an object."""
    return client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=Configure.Vectors.multi2vec_bind(
            text_fields=["title"], image_fields=["picture"], video_fields=["clip"]
        ),
        reranker_config=Configure.Reranker.transformers(),
    )


def named(client: WeaviateClient, name: str) -> AnyCollection:
    """A collection with a vector for each property."""
    bind = Configure.Vectors.multi2vec_bind
    return client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=[
            bind(name="title", text_fields=["title"]),
            bind(name="picture", image_fields=["picture"]),
            bind(name="clip", video_fields=["clip"]),
        ],
        reranker_config=Configure.Reranker.transformers(),
    )


def prism_vector(name: str | None = None, **config: Any) -> Any:
    """A vector by multi2vec-prism; `config` is the module's own."""
    return Configure.Vectors.custom(name=name, module_name="multi2vec-prism", module_config=config)


def prism_reranker(**config: Any) -> Any:
    """Reranking by reranker-prism; `config` is the module's own."""
    return Configure.Reranker.custom("reranker-prism", module_config=config)


def import_all(
    collection: AnyCollection, objects: Iterable[SceneObject], batch: Batch = BATCHES["dynamic"]
) -> dict[str, str]:
    """Sends them as one batch; returns the reasons of those that failed, by id."""
    with batch(collection) as sending:
        for each in objects:
            sending.add_object(each.properties, uuid=each.uuid)
    return failures(collection)


def failures(collection: AnyCollection) -> dict[str, str]:
    """What the client was told of the last batch, by the object's id."""
    return {str(failed.object_.uuid): failed.message for failed in collection.batch.failed_objects}


def mean_vector(prism: Prism, properties: Mapping[str, str]) -> list[float]:
    """What Weaviate makes of Prism's vectors for an object's properties."""
    kinds = {"title": "texts", "picture": "images", "clip": "video"}
    mean: list[float] = np.mean([prism.embed(kinds[name], text) for name, text in properties.items()], axis=0).tolist()
    return mean


def vectors(collection: AnyCollection, name: str = "default") -> dict[str, list[float]]:
    """The stored vector of every object by id; empty where it has none."""
    stored = collection.iterator(include_vector=True, return_properties=[])
    return {str(found.uuid): cast("list[float]", found.vector.get(name, [])) for found in stored}
