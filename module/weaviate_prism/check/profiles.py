"""Which of Prism's profiles a collection asks for, and whether Prism serves them.

Profiles are as `/meta` tells them: name, kind, model, loaded, default, fusion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from weaviate_prism.check import embedding
from weaviate_prism.check.addresses import ANEW, CHANGE, path_of
from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.check.known import MODULES, RERANKERS, VECTORIZERS, Module
from weaviate_prism.check.schema import Collection, Vector
from weaviate_prism.profiles import EMBEDDER, RERANKER

# voyageai's addresses may end in /v1.
PREFIX = re.compile("/p/(.+?)(?:/v1)?")


def findings(
    collection: Collection,
    here: Callable[[str, Mapping[str, Any]], str | None],
    prism: Mapping[str, Any],
    ours: Sequence[str],
) -> Iterator[Finding]:
    """One for every profile that a vector or a reranker asks this Prism for.

    Args:
        here: whether this Prism serves a module with a config.
        prism: Prism's /meta.
        ours: Prism's addresses, as we and as Weaviate see it.
    """
    for vector in collection.vectors:
        if vector.module in VECTORIZERS and here(vector.module, vector.config) is not None:
            for name in asked(vector.module, vector.config, ours):
                yield _served(collection.label(vector), vector.module, vector.config, name, prism, ANEW)
    for module, config in sorted(collection.rerankers.items()):
        if module in RERANKERS and here(module, config) is not None:
            for name in asked(module, config, ours):
                yield _served(collection.name, module, config, name, prism, CHANGE)


def asked(module: str, config: Mapping[str, Any], ours: Sequence[str]) -> list[str]:
    """The names in a config's addresses, each once; where they have none, its `model`. Empty is the default."""
    known = MODULES[module]
    model = "" if known.model is None or config.get("model") == known.model else str(config.get("model") or "")
    paths = [path_of(str(config[key]), ours) for key in known.urls if config.get(key)]
    return list(dict.fromkeys(in_path(path) or model for path in paths or [""] if path is not None))


def in_path(path: str) -> str:
    """The profile in a prefix of Prism's paths; empty where it has none."""
    found = PREFIX.fullmatch(re.sub("/+", "/", unquote(path)))
    return found[1] if found else ""


def path_to(name: str) -> str:
    return f"/p/{quote(name)}"


def find(name: str, kind: str, prism: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The profile that Prism takes for a name, or by default; None where it refuses."""
    of_kind = [each for each in prism["profiles"] if each["kind"] == kind]
    if not name:
        return next((each for each in of_kind if each["default"]), None)
    return next((each for key in ("name", "model") for each in of_kind if each[key] == name), None)


def in_environment(module: Module, config: Mapping[str, Any]) -> str:
    """The variable of Weaviate's with an address, whose profile nobody tells; empty where the collection names it."""
    by_http = module.variable.endswith("_INFERENCE_API")
    return module.variable if by_http and not any(config.get(key) for key in module.urls) else ""


def others(prism: Mapping[str, Any], *, loaded: bool) -> list[str]:
    """The embedders' profiles but the default one, loaded or not: asking for one that is not would have it loaded."""
    return [
        each["name"]
        for each in prism["profiles"]
        if each["kind"] == EMBEDDER and not each["default"] and each["loaded"] is loaded
    ]


def weighted(about: str, vector: Vector, path: str, prism: Mapping[str, Any]) -> Iterator[Finding]:
    """What Weaviate's weights do to a joint vector.

    Args:
        path: prefix of Prism's paths that the vectors come from.
    """
    profile = find(in_path(path), EMBEDDER, prism)
    shares = embedding.weights(vector)
    if vector.module not in ("multi2vec-bind", "multi2vec-clip") or not shares:
        return
    if profile is None or profile.get("fusion") != "joint":
        return
    says = f"weights, while profile {profile['name']!r} gives one joint vector: Weaviate multiplies it by {shares[0]:g}"
    cure = f'leave weights out, {ANEW} (README, "Joint vectors")'
    if shares[0] == 0:
        yield red(Check.PROFILE, about, f"{says}, so that zeros are stored, and every object is equally far", cure)
    else:
        yield yellow(Check.PROFILE, about, f"{says}: cosine does not notice, dot products and l2 distances do", cure)


def _served(
    about: str, module: str, config: Mapping[str, Any], name: str, prism: Mapping[str, Any], how: str
) -> Finding:
    kind = EMBEDDER if module in VECTORIZERS else RERANKER
    profile = find(name, kind, prism)
    known = [each["name"] for each in prism["profiles"] if each["kind"] == kind]
    if not known:
        says = f"{module} asks for {_a(kind)}, and Prism serves none"
        return red(Check.PROFILE, about, says, f"start Prism with one (prism serve --{kind}, or --config)")
    there = ", ".join(map(repr, known))
    if profile is None:
        alien = any(name in (each["name"], each["model"]) for each in prism["profiles"])
        why = f" (it is {_a(EMBEDDER if kind == RERANKER else RERANKER)})" if alien else ""
        says = f"Prism serves no {kind} profile {name!r}{why}; there are {there}: {module} gets nothing but errors"
        return red(Check.PROFILE, about, says, f"serve it (prism serve --config), or name one of those, {how}")
    if name:
        return green(Check.PROFILE, about, f"{module} asks for {name!r}, which Prism serves")
    says = f"{module} asks for the default {kind}, {profile['name']!r}"
    variable = in_environment(MODULES[module], config)
    return green(Check.PROFILE, about, f"{says}, unless {variable} names another (/p/NAME)" if variable else says)


def _a(kind: str) -> str:
    return f"an {kind}" if kind == EMBEDDER else f"a {kind}"
