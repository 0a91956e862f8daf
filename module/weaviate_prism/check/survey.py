"""One bounded look at a collection's objects: which have no vector, and a few to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from weaviate_prism.check.database import Database, Stored
from weaviate_prism.check.schema import Collection

# Objects that are read of a collection, of each tenant a share. UUIDs are mostly random, so the first are a sample.
MOST_OBJECTS = 10_000
MOST_TENANTS = 10
# Objects without a vector that are named, and looked at more closely.
NAMED = 5
COMPARED = 8


@dataclass
class Seen:
    """What the objects of a collection are like, for one vector."""

    bare: int = 0  # objects without it
    first: list[tuple[str, str]] = field(default_factory=list)  # tenant and id of the first of those
    chosen: list[tuple[str, Stored]] = field(default_factory=list)  # tenant and object, spread over all that have it


@dataclass(frozen=True)
class Survey:
    """Of a collection."""

    total: int  # objects in the tenants that were looked at
    read: int  # of those, in the order of their UUIDs
    seen: Mapping[str, Seen]  # by the vector's name
    tenants: tuple[int, int] | None = None  # looked at, of all; None where there are none

    def scope(self) -> str:
        """For people: what was looked at."""
        objects = count(self.read)
        if self.read < self.total:
            objects = f"the first {self.read} of {count(self.total)} (in the order of UUIDs)"
        return f"{objects}{self.of_tenants()}"

    def of_tenants(self) -> str:
        return f" of {self.tenants[0]} of {self.tenants[1]} tenants" if self.tenants else ""


def survey(database: Database, collection: Collection) -> Survey:
    """Reads vectors, no properties. Tenants that sleep are left asleep."""
    names, of_all = [""], 0
    if collection.multi_tenant:
        names, of_all = database.tenants(collection.name, MOST_TENANTS)
    share = MOST_OBJECTS // max(1, len(names))
    counts = [database.count(collection.name, name) for name in names]
    expected = sum(min(each, share) for each in counts)
    objects = ((name, each) for name in names for each in islice(database.vectors(collection.name, name), share))
    read, seen = summarise(collection, objects, expected)
    return Survey(max(read, sum(counts)), read, seen, (len(names), of_all) if collection.multi_tenant else None)


def summarise(
    collection: Collection, objects: Iterable[tuple[str, Stored]], expected: int
) -> tuple[int, Mapping[str, Seen]]:
    """How many there are, and what they are like, for each vector by name.

    Args:
        objects: with their tenants.
        expected: how many there will be, more or less.
    """
    seen = {vector.name: Seen() for vector in collection.vectors}
    read = 0
    for tenant, each in objects:
        for name, found in seen.items():
            _add(found, tenant, each, name, read / max(1, expected))
        read += 1
    return read, seen


def _add(found: Seen, tenant: str, stored: Stored, name: str, progress: float) -> None:
    # where the object that is due has no vector, the next one that has stands in for it
    due = len(found.chosen) <= progress * COMPARED and len(found.chosen) < COMPARED
    if not has(stored.vectors.get(name)):
        found.bare += 1
        if len(found.first) < NAMED:
            found.first.append((tenant, stored.id))
    elif due:
        found.chosen.append((tenant, stored))


def count(objects: int) -> str:
    return f"{objects} object" if objects == 1 else f"{objects} objects"


def has(vector: Any) -> bool:
    return vector is not None and len(vector) > 0
