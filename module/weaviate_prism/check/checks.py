"""All checks, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from weaviate.exceptions import WeaviateBaseError

from weaviate_prism.check import addresses, blob_hash, fields, modules, profiles, schema, serving, vectors
from weaviate_prism.check.database import Database
from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.check.known import MODULES, VECTORIZERS
from weaviate_prism.check.reaching import CheckError
from weaviate_prism.check.schema import Collection
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
    enabled = database.meta.get("modules") or {}
    here = partial(served_here, enabled=enabled, prism=service.meta, ours=ours)
    yield from uses(collection, here)
    yield from addresses.findings(collection, ours, service.key)
    yield from profiles.findings(collection, here, service.meta, ours)
    yield from fields.findings(collection)
    yield from blob_hash.findings(collection, bool(service.meta.get("media_store")))
    found = {each.name: here(each.module, each.config) for each in collection.vectors if each.module in VECTORIZERS}
    paths = {name: path for name, path in found.items() if path is not None}
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
        yield red(Check.WITHOUT_VECTOR, collection.name, says, "Weaviate's log may say more")


def served_here(
    name: str, config: Mapping[str, Any], enabled: Mapping[str, Any], prism: Mapping[str, Any], ours: Sequence[str]
) -> str | None:
    """The prefix of Prism's paths in a collection's config of a module; None where another service serves it.

    A module that tells nothing of its service is taken to ask this Prism.
    """
    module = MODULES[name]
    if module.public or any(config.get(key) for key in module.urls):
        return addresses.path_here(name, config, ours)
    return "" if not module.tells or modules.same_service(enabled.get(name), prism) else None


def uses(collection: Collection, here: Callable[[str, Mapping[str, Any]], str | None]) -> Iterator[Finding]:
    """Who vectorizes and who reranks."""
    for vector in collection.vectors:
        yield _use(Check.VECTORIZER, collection.label(vector), vector.module, vector.config, here)
    for name, config in sorted(collection.rerankers.items()):
        yield _use(Check.RERANKER, collection.name, name, config, here)
    if not collection.rerankers:
        yield green(Check.RERANKER, collection.name, "names no reranker")
    if len(collection.rerankers) > 1:
        says = f"{' and '.join(sorted(collection.rerankers))} are both named: Weaviate takes one of them by chance"
        yield red(Check.RERANKER, collection.name, says, f"name one, {addresses.CHANGE}")


def _use(
    check: Check, about: str, name: str, config: Mapping[str, Any], here: Callable[[str, Mapping[str, Any]], str | None]
) -> Finding:
    if name not in MODULES:
        who = "clients bring the vectors" if name == "none" else f"by {name}"
        return green(check, about, f"{who}: Prism has no part in it")
    if here(name, config) is None:
        cure = 'the findings "modules" and "base-url" say where it points'
        return yellow(check, about, f"by {name}, but not with this Prism: its objects are not looked at", cure)
    return green(check, about, f"by {name}, with this Prism")
