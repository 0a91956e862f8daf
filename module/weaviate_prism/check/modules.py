"""Which of Weaviate's modules are enabled, and whether they reach this Prism."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weaviate_prism.check.addresses import shown
from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.check.known import MODULES, RERANKERS, VECTORIZERS
from weaviate_prism.check.schema import Collection

ABOUT = "Weaviate"
# What Weaviate's dialer says with MODULES_VALIDATE_BASE_URL on: usecases/modulecomponents/base_client.go, 1.39.2
REFUSED = "refusing to dial internal address"
# What native modules pass on of each model.
SAME = ("name", "revision", "kind", "dimensions", "dtype")


def findings(
    enabled: Mapping[str, Any], prism: Mapping[str, Any], collections: Sequence[Collection]
) -> Iterator[Finding]:
    """One for every enabled module that may have Prism behind it, and one for what is missing.

    Args:
        enabled: the modules of Weaviate's /v1/meta.
        prism: Prism's own /meta.
    """
    for name in MODULES:
        if name in enabled:
            yield from _module(name, enabled[name], prism)
    yield from _missing(enabled, collections)
    yield from _guard(enabled, prism)


def same_service(told: Any, prism: Mapping[str, Any]) -> bool:
    """Whether what a module was told is what this Prism tells: the same version and models."""
    return isinstance(told, dict) and "models" in told and _identity(told) == _identity(prism)


def _identity(meta: Mapping[str, Any]) -> tuple[Any, list[list[str]]]:
    # names of profiles and lazily loaded models may come in any order
    return meta.get("version"), sorted([str(model.get(key)) for key in SAME] for model in meta.get("models") or ())


def _module(name: str, told: Any, prism: Mapping[str, Any]) -> Iterator[Finding]:
    module = MODULES[name]
    told = told if isinstance(told, dict) else {}
    if not module.tells:
        if module.variable:
            says = f"{name} is enabled; whether {module.variable} is this Prism cannot be seen from outside"
            yield green(Check.MODULES, ABOUT, says)
        return  # an API module: each collection names an address
    if "error" in told:
        says = f"{name} does not reach its service: {shown(str(told['error']))}"
        yield red(
            Check.MODULES, ABOUT, says, f"make {module.variable} Prism's address as Weaviate sees it, with its key"
        )
    elif same_service(told, prism):
        yield green(Check.MODULES, ABOUT, f"{name} is enabled and reaches this Prism")
    else:
        other = "another Prism, or this one with other models" if "models" in told else "another service"
        says = f"{name} reaches {other}"
        yield yellow(Check.MODULES, ABOUT, says, f"if that is not meant, make {module.variable} this Prism's address")


def _missing(enabled: Mapping[str, Any], collections: Sequence[Collection]) -> Iterator[Finding]:
    for collection in collections:
        named = {vector.module for vector in collection.vectors} | collection.rerankers.keys()
        for name in sorted(named - {"none"}):
            if name not in enabled:
                says = f"{name} is not enabled: nothing can be inserted, searched or reranked by it"
                yield red(Check.MODULES, collection.name, says, f"add {name} to ENABLE_MODULES and restart Weaviate")
    if not VECTORIZERS.keys() & enabled.keys():
        cure = 'ENABLE_MODULES=multi2vec-bind,multi2vec-clip,reranker-transformers (README, "Beside your Weaviate")'
        yield red(Check.MODULES, ABOUT, "no module that can have vectors from Prism is enabled", cure)
    if not RERANKERS.keys() & enabled.keys():
        cure = "add reranker-transformers, or reranker-prism in a native build, to ENABLE_MODULES"
        yield yellow(Check.MODULES, ABOUT, "no module that can rerank by Prism is enabled", cure)


def _guard(enabled: Mapping[str, Any], prism: Mapping[str, Any]) -> Iterator[Finding]:
    """MODULES_VALIDATE_BASE_URL is told nowhere, but its effect shows."""
    # the native modules' gRPC does not pass Weaviate's dialer
    by_http = [name for name in enabled if name in MODULES and MODULES[name].variable.endswith("_INFERENCE_API")]
    if any(REFUSED in str(enabled[name]) for name in by_http):
        says = "MODULES_VALIDATE_BASE_URL is on: Weaviate refuses services in its own network"
        yield red(
            Check.VALIDATE_BASE_URL,
            ABOUT,
            says,
            "unset MODULES_VALIDATE_BASE_URL; it is meant for servers open to strangers",
        )
    elif any(same_service(enabled[name], prism) for name in by_http):
        yield green(
            Check.VALIDATE_BASE_URL, ABOUT, "MODULES_VALIDATE_BASE_URL does not stand between Weaviate and Prism"
        )
    elif by_http:
        says = (
            "whether MODULES_VALIDATE_BASE_URL is on cannot be seen: no stock module tells that it reaches this Prism"
        )
        yield yellow(
            Check.VALIDATE_BASE_URL, ABOUT, says, f'where a module says "{REFUSED}", unset MODULES_VALIDATE_BASE_URL'
        )
    else:
        yield green(Check.VALIDATE_BASE_URL, ABOUT, "MODULES_VALIDATE_BASE_URL does not concern the native modules")
