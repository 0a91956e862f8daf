"""Weaviate's schema, reduced to what the checks look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weaviate_prism.check.known import FIELD_LISTS, MEDIA_TYPES

# How weaviate-client calls the vector of a collection that has no named ones.
UNNAMED = "default"


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector that a collection's objects get."""

    name: str
    module: str  # "none" where clients bring it
    config: Mapping[str, Any]
    legacy: bool = False  # without a name in Weaviate

    def fields(self, key: str) -> list[str]:
        """The properties that one of the config's lists names."""
        names = self.config.get(key) or []
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def all_fields(self) -> list[str]:
        return [name for key in FIELD_LISTS for name in self.fields(key)]


@dataclass(frozen=True, slots=True)
class Collection:
    """What the schema says of one."""

    name: str
    types: Mapping[str, str]  # of its properties
    vectors: Sequence[Vector]
    rerankers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # configs by module
    multi_tenant: bool = False
    skipped: Mapping[str, frozenset[str]] = field(default_factory=dict)  # properties that a module leaves out

    def media(self, data_type: str = "") -> list[str]:
        """Its properties of one type, or of any that holds media."""
        return [name for name, each in self.types.items() if each in ((data_type,) if data_type else MEDIA_TYPES)]

    def label(self, vector: Vector) -> str:
        return self.name if vector.legacy else f"{self.name}.{vector.name}"


def collections(schema: Mapping[str, Any]) -> list[Collection]:
    """From the JSON of /v1/schema, in alphabetical order."""
    return sorted((collection(each) for each in schema.get("classes") or ()), key=lambda each: each.name)


def collection(raw: Mapping[str, Any]) -> Collection:
    properties = raw.get("properties") or ()
    modules: Mapping[str, Any] = raw.get("moduleConfig") or {}
    return Collection(
        raw["class"],
        {each["name"]: ",".join(each["dataType"]) for each in properties},
        list(_vectors(raw, modules)),
        {name: config or {} for name, config in modules.items() if name.startswith("reranker-")},
        bool((raw.get("multiTenancyConfig") or {}).get("enabled")),
        _skipped(properties),
    )


def _vectors(raw: Mapping[str, Any], modules: Mapping[str, Any]) -> Iterator[Vector]:
    named, module = raw.get("vectorConfig") or {}, raw.get("vectorizer") or "none"
    if not named or module != "none":  # an old collection may have got named ones, too
        yield Vector(UNNAMED, module, modules.get(module) or {}, legacy=True)
    for name, config in sorted(named.items()):
        if config.get("vectorIndexType") == "none":  # being dropped; new objects get none
            continue
        for each, settings in (config.get("vectorizer") or {}).items():
            yield Vector(name, each, settings or {})


def _skipped(properties: Sequence[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    skipped: dict[str, set[str]] = {}
    for each in properties:
        for module, config in (each.get("moduleConfig") or {}).items():
            if isinstance(config, dict) and config.get("skip") is True:
                skipped.setdefault(module, set()).add(each["name"])
    return {module: frozenset(names) for module, names in skipped.items()}
