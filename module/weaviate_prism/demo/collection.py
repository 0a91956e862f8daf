"""The collection: its schema, the import, and the proof that nothing was lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from weaviate import WeaviateClient
from weaviate.classes.config import DataType, Property, Tokenization

from weaviate_prism.demo.gallery import Entry
from weaviate_prism.demo.service import DemoError
from weaviate_prism.demo.ways import Way

NAME = "Gallery"
BATCH = 20
REQUESTS = 2  # at a time


@dataclass(frozen=True)
class Imported:
    """What the import achieved."""

    objects: int
    seconds: float
    modules: str  # which vectorized and rerank

    @property
    def rate(self) -> float:
        """Objects per second, through Weaviate, vectorized and stored."""
        return self.objects / self.seconds


def fill(client: WeaviateClient, way: Way, entries: Sequence[Entry], console: Console) -> Imported:
    """Creates the collection and imports all entries.

    Raises:
        DemoError: an object was refused, or is stored without a vector.
    """
    create(client, way)
    gallery = client.collections.use(NAME)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn(show_speed=True))
    started = time.perf_counter()
    with Progress(*columns, console=console) as progress, gallery.batch.fixed_size(BATCH, REQUESTS) as batch:
        for entry in progress.track(entries, description="importing"):
            batch.add_object(entry.properties(), uuid=entry.id)
    seconds = time.perf_counter() - started
    if failed := gallery.batch.failed_objects:
        raise DemoError(f"{len(failed)} objects were refused, the first one with: {failed[0].message}")
    check_vectors(client, len(entries))
    console.print(f"imported {len(entries)} objects in {seconds:.1f} s: {len(entries) / seconds:.0f} objects/s\n")
    return Imported(len(entries), seconds, way.modules)


def create(client: WeaviateClient, way: Way) -> None:
    client.collections.create(
        NAME,
        properties=[
            # For filters only: hybrid search shall not find "clip" here.
            Property(name="kind", data_type=DataType.TEXT, tokenization=Tokenization.FIELD, index_searchable=False),
            Property(name="title", data_type=DataType.TEXT),
            Property(name="picture", data_type=DataType.BLOB),
            Property(name="clip", data_type=DataType.BLOB),
        ],
        vector_config=way.vectors,
        reranker_config=way.reranker,
    )


def check_vectors(client: WeaviateClient, expected: int) -> None:
    """Weaviate stores an object without a vector, silently, if a module sends none."""
    stored = list(client.collections.use(NAME).iterator(include_vector=True, return_properties=["kind"]))
    bare = [each for each in stored if not each.vector.get("default")]
    if bare or len(stored) != expected:
        raise DemoError(f"{expected} objects were sent, {len(stored)} stored, {len(bare)} of them without a vector")
