"""Whether objects have vectors, and such as the loaded model gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from weaviate_prism.check import embedding
from weaviate_prism.check.addresses import ANEW
from weaviate_prism.check.database import Database
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
) -> Finding:
    """Re-embeds a few objects as the collection's module has it, and compares.

    Args:
        path: prefix of Prism's paths in the collection's address.
    """
    about, chosen = collection.label(vector), survey.seen[vector.name].chosen
    if not chosen:
        return green(Check.MODEL, about, "no vectors to compare with the loaded model's")
    if vector.module not in embedding.COMPARED:
        cure = f"nothing to cure: this command can make vectors again only for {', '.join(embedding.COMPARED)}"
        return yellow(Check.MODEL, about, f"vectors of {vector.module} are not compared with the loaded model's", cure)
    names = readable(collection, vector)
    make = partial(embedding.embed, service, vector, path, collection.name)
    comparisons = []
    for tenant, each in chosen:
        # one at a time: of several with clips, the answer may be too large for gRPC
        properties = database.properties(collection.name, tenant, each.id, names)
        comparisons.append(compare(make, each.id, each.vectors[vector.name], properties))
    return verdict(about, comparisons)


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
    """Of two vectors of the same length; 0 where one of them is zero."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / lengths if lengths else 0.0


def verdict(about: str, comparisons: Sequence[Comparison]) -> Finding:
    """About all objects of a collection that were tried."""
    other = f"serve the model and revision (and --stock-prompt) that made them, or import the objects {ANEW}"
    refused = [each for each in comparisons if each.refused]
    for each in refused:
        if each.refused and each.refused.model:
            return red(Check.MODEL, about, f"its model cannot be had from Prism: {each.refused}", other)
    made = [each for each in comparisons if not each.refused]
    of_all = f"{count(len(made))} vectorized again"
    if unequal := [each for each in made if each.cosine is None]:
        stored, now = unequal[0].dimensions
        says = f"stored vectors have {stored} dimensions, the loaded model gives {now}: {_named(unequal)} of {of_all}"
        return red(Check.MODEL, about, says, other)
    if different := [each for each in made if (each.cosine or 0.0) < SAME]:
        lowest = min(each.cosine or 0.0 for each in different)
        says = f"vectors are not the loaded model's (cosine {lowest:.4f}, want {SAME}): {_named(different)} of {of_all}"
        return red(Check.MODEL, about, says, other)
    if refused:
        says = f"{len(refused)} of {count(len(comparisons))} cannot be vectorized again"
        return yellow(Check.MODEL, about, f"{says}, {refused[0].id} because: {refused[0].refused}", REFUSED)
    lowest = min(each.cosine or 0.0 for each in made)
    return green(Check.MODEL, about, f"{of_all}: the loaded model gives the same vectors (lowest cosine {lowest:.5f})")


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
    """Two for every vector that this Prism makes.

    Args:
        paths: prefixes of Prism's paths, by the names of those vectors.
    """
    for vector in collection.vectors:
        if vector.module in VECTORIZERS and vector.name in paths:
            yield bare(collection, vector, survey, database)
            yield compared(collection, vector, paths[vector.name], survey, database, service)
