"""Prism dies in the middle of an import and comes back: nothing is lost without a word."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Set
from typing import Any

import pytest

from objects import BATCHES, AnyCollection, Batch, averaged, failures, vectors
from servers import Stack, wait_until

STYLES: Mapping[str, Batch] = {
    "fixed_size": lambda collection: collection.batch.fixed_size(batch_size=10, concurrent_requests=1),
    "stream": BATCHES["stream"],
}


@pytest.mark.parametrize("style", STYLES)
def test_killed_prism_leaves_every_object_stored_or_reported(fake: Stack, style: str) -> None:
    titles = {str(uuid.uuid4()): f"title number {number}" for number in range(200)}
    collection = averaged(fake.client, f"Killed_{style}")
    ids = list(titles)
    with STYLES[style](collection) as batch:
        add(batch, titles, ids[:100])
        wait_until(lambda: len(collection) > 10)
        fake.prism.kill()
        fake.prism.start()
        add(batch, titles, ids[100:])
    failed = failures(collection)
    assert failed
    assert_stored(collection, titles.keys() - failed.keys())

    with STYLES[style](collection) as batch:
        add(batch, titles, failed)
    assert failures(collection) == {}
    assert_stored(collection, titles.keys())


def add(batch: Any, titles: Mapping[str, str], ids: Iterable[str]) -> None:
    for each in ids:
        batch.add_object({"title": titles[each]}, uuid=each)


def assert_stored(collection: AnyCollection, ids: Set[str]) -> None:
    """These and no others are stored, each with a vector."""
    stored = vectors(collection)
    assert stored.keys() == ids
    assert all(stored.values())
