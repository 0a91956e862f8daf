"""Whether objects have vectors, and such as the loaded model gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from weaviate_prism.check import embedding, profiles
from weaviate_prism.check.addresses import ANEW
from weaviate_prism.check.database import Database, Stored
from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.check.known import VECTORIZERS
from weaviate_prism.check.schema import Collection, Vector
from weaviate_prism.check.service import RefusedError, Service
from weaviate_prism.check.survey import NAMED, Seen, Survey, count
from weaviate_prism.values import Vector as Row

# Below this, a vector is another model's. bfloat16 alone leaves 0.9995 (README, "Models").
SAME = 0.999
IMPORT = (
    "import them again with REVECTORIZE_CHECK_DISABLED=true in Weaviate's environment: it does not vectorize an "
    "unchanged object anew"
)
MADE = (
    "serve the model and revision (and --stock-prompt) that made them, and the same profile (fusion, dimensions, "
    "prompts)"
)
REFUSED = (
    "as Prism says; where an object has only a digest, --media-store keeps the media of those that come in from now on"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A stored vector, and what became of the attempt to make it again."""

    id: str
    dimensions: tuple[int, int] = (0, 0)  # stored, and made now
    cosine: float | None = None  # None where the dimensions differ, or none was made
    refused: RefusedError | None = None


def bare(collection: Collection, vector: Vector, survey: Survey, database: Database) -> Finding:
    """About the objects without this vector."""
    about, seen = collection.label(vector), survey.seen[vector.name]
    if not survey.read:
        return green(Check.WITHOUT_VECTOR, about, f"no objects yet{survey.of_tenants()}")
    if not seen.bare:
        return green(Check.WITHOUT_VECTOR, about, f"all of {survey.scope()} have a vector")
    names = ", ".join(f"{id} of tenant {tenant}" if tenant else id for tenant, id in seen.first)
    says = f"{seen.bare} of {survey.scope()} without a vector, which no vector search finds: {names}"
    more = ", ..." if seen.bare > len(seen.first) else ""
    if anything(collection, vector, seen, database):
        return red(Check.WITHOUT_VECTOR, about, f"{says}{more}", IMPORT)
    cure = "fine if they are not meant to be found; else fill one of the properties that the vector reads"
    return yellow(Check.WITHOUT_VECTOR, about, f"{says}{more} (those named have nothing to vectorize)", cure)


def anything(collection: Collection, vector: Vector, seen: Seen, database: Database) -> bool:
    """Whether one of the first objects without this vector has something that it could be made of."""
    names = readable(collection, vector)
    return any(database.properties(collection.name, tenant, uuid, names) for tenant, uuid in seen.first)


def readable(collection: Collection, vector: Vector) -> list[str]:
    """The properties that the vector is made of; of a text module all."""
    listed = vector.all_fields() or list(vector.config.get("properties") or collection.types)
    return sorted({name for name in listed if name in collection.types})


def compared(
    collection: Collection, vector: Vector, path: str, survey: Survey, database: Database, service: Service
) -> Iterator[Finding]:
    """Re-embeds a few objects as the collection's module has it, and compares.

    Args:
        path: prefix of Prism's paths in the collection's address.
    """
    about, chosen = collection.label(vector), survey.seen[vector.name].chosen
    if not chosen:
        yield green(Check.MODEL, about, "no vectors to compare with the loaded model's")
    elif vector.module not in embedding.COMPARED:
        cure = f"nothing to cure: this command can make vectors again only for {', '.join(embedding.COMPARED)}"
        yield yellow(Check.MODEL, about, f"vectors of {vector.module} are not compared with the loaded model's", cure)
    else:
        again = partial(vectorized, collection, vector, chosen, database, service)
        path, comparisons = guessed(vector, path, again, service.meta)
        yield verdict(about, comparisons, profiles.in_path(path), cure_of(vector, service.meta))
    yield from profiles.weighted(about, vector, path, service.meta)


def guessed(
    vector: Vector, path: str, again: Callable[[str], list[Comparison]], prism: Mapping[str, Any]
) -> tuple[str, list[Comparison]]:
    """Prism's path that gives the stored vectors, and what it gives; the path given, where none does.

    Others than that are tried only where Weaviate's environment may name one of them, which nobody tells.
    """
    comparisons = again(path)
    if profiles.in_environment(VECTORIZERS[vector.module], vector.config) and not agree(comparisons):
        for other in map(profiles.path_to, profiles.others(prism, loaded=True)):
            if agree(found := again(other)):
                return other, found
    return path, comparisons


def agree(comparisons: Sequence[Comparison]) -> bool:
    """Whether all that could be made again are the same, and some could."""
    made = [each for each in comparisons if not each.refused]
    return bool(made) and all((each.cosine or 0.0) >= SAME for each in made)


def cure_of(vector: Vector, prism: Mapping[str, Any]) -> str:
    """For vectors that this Prism does not give."""
    module = VECTORIZERS[vector.module]
    variable = profiles.in_environment(module, vector.config)
    where = f", with /p/NAME in {variable}" if variable else ""
    untried = profiles.others(prism, loaded=False) if variable else []
    note = f"; not tried, because not loaded: {', '.join(map(repr, untried))}" if untried else ""
    return f"{MADE}{where}, or import the objects {ANEW}{note}"


def vectorized(
    collection: Collection,
    vector: Vector,
    chosen: Sequence[tuple[str, Stored]],
    database: Database,
    service: Service,
    path: str,
) -> list[Comparison]:
    """Some objects, with their tenants, as the module would have them made again at a path of Prism's."""
    names = readable(collection, vector)
    make = partial(embedding.embed, service, vector, path, collection.name)
    comparisons = []
    for tenant, each in chosen:
        # one at a time: of several with clips, the answer may be too large for gRPC
        properties = database.properties(collection.name, tenant, each.id, names)
        comparisons.append(compare(make, each.id, each.vectors[vector.name], properties))
    return comparisons


def compare(
    make: Callable[[embedding.Properties], Row],
    uuid: str,
    stored: Sequence[float],
    properties: embedding.Properties,
) -> Comparison:
    """One object."""
    try:
        made = make(properties)
    except RefusedError as error:
        return Comparison(uuid, refused=error)
    dimensions = (len(stored), len(made))
    return Comparison(uuid, dimensions, cosine(np.asarray(stored), made) if len(set(dimensions)) == 1 else None)


def cosine(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Of two vectors of the same length; 0 where one of them is zero, 1 where both are."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / lengths if lengths else float(np.array_equal(one, other))


def verdict(about: str, comparisons: Sequence[Comparison], profile: str, cure: str) -> Finding:
    """About all objects of a collection that were tried.

    Args:
        profile: by which they were made again; empty for the default.
        cure: where this Prism does not give their vectors.
    """
    refused = [each for each in comparisons if each.refused]
    for each in refused:
        if each.refused and each.refused.model:
            says = f"its model cannot be had from Prism: {each.refused}"
            return red(Check.MODEL, about, says, f"serve the profile again; else {cure}")
    made = [each for each in comparisons if not each.refused]
    of_all = f"{count(len(made))} vectorized again"
    if unequal := [each for each in made if each.cosine is None]:
        stored, now = unequal[0].dimensions
        says = f"stored vectors have {stored} dimensions, the loaded model gives {now}: {_named(unequal)} of {of_all}"
        return red(Check.MODEL, about, says, cure)
    if different := [each for each in made if (each.cosine or 0.0) < SAME]:
        lowest = min(each.cosine or 0.0 for each in different)
        says = f"vectors are not the loaded model's (cosine {lowest:.4f}, want {SAME}): {_named(different)} of {of_all}"
        return red(Check.MODEL, about, says, cure)
    if refused:
        says = f"{len(refused)} of {count(len(comparisons))} cannot be vectorized again"
        return yellow(Check.MODEL, about, f"{says}, {refused[0].id} because: {refused[0].refused}", REFUSED)
    lowest = min(each.cosine or 0.0 for each in made)
    by = f" as by profile {profile!r}" if profile else ""
    says = f"{of_all}{by}: the loaded model gives the same vectors (lowest cosine {lowest:.5f})"
    return green(Check.MODEL, about, says)


def _named(comparisons: Sequence[Comparison]) -> str:
    more = ", ..." if len(comparisons) > NAMED else ""
    return ", ".join(each.id for each in comparisons[:NAMED]) + more


def findings(
    collection: Collection,
    paths: Mapping[str, str],
    survey: Survey,
    database: Database,
    service: Service,
) -> Iterator[Finding]:
    """At least two for every vector that this Prism makes.

    Args:
        paths: prefixes of Prism's paths, by the names of those vectors.
    """
    for vector in collection.vectors:
        if vector.module in VECTORIZERS and vector.name in paths:
            yield bare(collection, vector, survey, database)
            yield from compared(collection, vector, paths[vector.name], survey, database, service)
