"""All checks, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weaviate.exceptions import WeaviateBaseError

from weaviate_prism.check import addresses, blob_hash, fields, modules, schema, serving, vectors
from weaviate_prism.check.database import Database
from weaviate_prism.check.findings import Finding, green, red
from weaviate_prism.check.known import MODULES, RERANKERS, VECTORIZERS
from weaviate_prism.check.reaching import CheckError
from weaviate_prism.check.schema import Collection, Vector
from weaviate_prism.check.service import Service
from weaviate_prism.check.survey import survey


def findings(database: Database, service: Service, ours: Sequence[str], wanted: Sequence[str]) -> Iterator[Finding]:
    """In the order in which they are best read: the services, then every collection.

    Args:
        ours: Prism's addresses, as we and as Weaviate see it.
        wanted: names of the collections to look at; all where it is empty.

    Raises:
        CheckError: there is no such collection.
    """
    everything = schema.collections(database.schema())
    if unknown := set(wanted) - {each.name for each in everything}:
        raise CheckError(f"Weaviate has no collection {', '.join(sorted(unknown))} (--collection)")
    chosen = [each for each in everything if not wanted or each.name in wanted]
    ready, seconds = service.probe()
    yield from serving.findings(service.meta, ready, seconds)
    enabled = database.meta.get("modules") or {}
    yield from modules.findings(enabled, service.meta, chosen)
    for each in chosen:
        yield from of_collection(each, database, service, ours)


def of_collection(
    collection: Collection, database: Database, service: Service, ours: Sequence[str]
) -> Iterator[Finding]:
    """All that concerns one collection."""
    yield from uses(collection)
    yield from addresses.findings(collection, ours)
    yield from fields.findings(collection)
    yield from blob_hash.findings(collection, bool(service.meta.get("media_store")))
    enabled = database.meta.get("modules") or {}
    paths = {each.name: path for each in collection.vectors if (path := here(each, enabled, service, ours)) is not None}
    modalities = [
        each for model in service.meta["models"] if model["kind"] == "embedder" for each in model["modalities"]
    ]
    for vector in collection.vectors:
        if paths.get(vector.name) == "":  # with a prefix, it may be another model
            yield from fields.unreadable(collection, vector, modalities)
    if not paths or not service.meta.get("ready"):
        return
    try:
        yield from vectors.findings(collection, paths, survey(database, collection), database, service)
    except WeaviateBaseError as error:
        says = f"its objects cannot be read: {error.message}"
        yield red("objects", collection.name, says, "see Weaviate's log, and --weaviate-grpc")


def here(vector: Vector, enabled: dict[str, object], service: Service, ours: Sequence[str]) -> str | None:
    """The prefix of Prism's paths in a vector's address; None where another service makes it, as far as can be seen."""
    if vector.module not in VECTORIZERS:
        return None
    module = VECTORIZERS[vector.module]
    if any(vector.config.get(key) for key in module.urls) or module.public:
        return addresses.path_here(vector.module, vector.config, ours)
    if module.tells and not modules.same_service(enabled.get(vector.module), service.meta):
        return None
    return ""


def uses(collection: Collection) -> Iterator[Finding]:
    """Who vectorizes and who reranks."""
    for vector in collection.vectors:
        if vector.module not in MODULES:
            who = "clients bring the vectors" if vector.module == "none" else f"{vector.module} makes the vectors"
            yield green("vectorizer", collection.label(vector), f"{who}: Prism has no part in them")
        else:
            yield green("vectorizer", collection.label(vector), f"{vector.module} makes the vectors")
    named = sorted(collection.rerankers)
    if len(named) > 1:
        says = f"{' and '.join(named)} are both named: Weaviate takes one of them by chance"
        yield red("reranker", collection.name, says, f"name one, {addresses.CHANGE}")
    for name in named:
        part = "" if name in RERANKERS else ": Prism has no part in it"
        yield green("reranker", collection.name, f"{name} reranks{part}")
    if not named:
        yield green("reranker", collection.name, "names no reranker")
