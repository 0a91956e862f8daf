"""Prism dies and comes back, slowly or as another one: no object is lost, and no vectors are mixed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateQueryError

from e2e.native.paths import PATHS
from objects import PROPERTIES, AnyCollection, Batch, failures, prism_vector, vectors
from servers import Stack, wait_until
from weaviate_prism.models.fake import DIMENSIONS

OBJECTS = 1500
STYLES: Mapping[str, Batch] = {
    "fixed_size": lambda collection: collection.batch.fixed_size(batch_size=100, concurrent_requests=2),
    "stream": lambda collection: collection.batch.stream(),
}


def altered(*, load_seconds: int = 0, name: str = "fake", dimensions: int = DIMENSIONS) -> list[str]:
    """A program that serves another fake model than `prism` does."""
    return [str(Path(__file__).with_name("altered.py")), str(load_seconds), name, str(dimensions)]


@pytest.fixture
def exchange(fake: Stack) -> Iterator[Callable[[list[str]], None]]:
    """Ends Prism and starts another program in its place, until the test ends."""

    def start(program: list[str]) -> None:
        fake.prism.kill()
        fake.prism.start(program)

    yield start
    fake.prism.kill()
    fake.prism.start()


def titled(stack: Stack, name: str) -> AnyCollection:
    return stack.client.collections.create(
        name, properties=PROPERTIES, vector_config=prism_vector(textFields=["title"])
    )


@pytest.mark.parametrize(
    ("style", "load_seconds"), [("fixed_size", 0), ("stream", 0), ("fixed_size", 8)], ids=["batch", "stream", "slow"]
)
def test_import_survives_a_killed_prism_without_a_loss(
    fake: Stack, exchange: Callable[[list[str]], None], style: str, load_seconds: int
) -> None:
    collection = titled(fake, f"Killed_{style}_{load_seconds}")
    titles = {str(uuid.uuid4()): f"number {number}" for number in range(OBJECTS)}
    ids = list(titles)
    with STYLES[style](collection) as batch:
        for each in ids[: OBJECTS // 2]:
            batch.add_object({"title": titles[each]}, uuid=each)
        wait_until(lambda: len(collection) > 100)
        fake.prism.kill()
        comes_back = threading.Timer(2.0, exchange, [altered(load_seconds=load_seconds)])
        comes_back.start()
        for each in ids[OBJECTS // 2 :]:
            batch.add_object({"title": titles[each]}, uuid=each)
    comes_back.join()
    assert failures(collection) == {}
    stored = vectors(collection)
    assert stored.keys() == titles.keys()
    assert all(stored.values())
    assert stored[ids[-1]] == pytest.approx(fake.prism.vector(titles[ids[-1]]), abs=1e-6)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"name": "another-model"}, "fake"), ({"dimensions": 48}, "48")],
    ids=["another model", "other dimensions"],
)
def test_another_model_is_refused_and_its_vectors_are_not_mixed_in(
    fake: Stack, exchange: Callable[[list[str]], None], changed: dict[str, str | int], named: str
) -> None:
    collection = titled(fake, f"Exchanged_{next(iter(changed))}")
    kept = str(collection.data.insert({"title": "red"}))
    exchange(altered(**changed))  # type: ignore[arg-type]
    with pytest.raises(UnexpectedStatusCodeError, match=named):
        collection.data.insert({"title": "blue"})
    with pytest.raises(WeaviateQueryError, match=named):
        collection.query.near_text("red")
    for path, send in PATHS.items():
        objects = {str(uuid.uuid4()): {"title": f"number {number}"} for number in range(3)}
        failed = send(fake, collection, objects)
        assert failed.keys() == objects.keys(), path
        assert all(named in message for message in failed.values()), failed
    stored = vectors(collection)
    assert stored.keys() == {kept}
    assert len(stored[kept]) == DIMENSIONS
