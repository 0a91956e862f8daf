"""Whether the addresses in collections' configs are Prism's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from weaviate_prism.check.findings import Finding, green, red, yellow
from weaviate_prism.check.known import MODULES, Module
from weaviate_prism.check.schema import Collection

CHECK = "base-url"
# A vectorizer's config cannot be changed.
ANEW = 'in a new collection, to which the objects are copied (README, "Two ways in")'
CHANGE = "with collection.config.update(reranker_config=...)"


def origin(url: str) -> str:
    """Scheme, host and port, comparable: without userinfo, path and default ports."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname or ''}:{port}"


def shown(text: str) -> str:
    """Text, with what URLs in it have before the @ blotted out: Prism's key."""
    return re.sub(r"(?<=://)[^/@\s\"]*@", "***@", text)


def path_here(module: str, config: Mapping[str, Any], ours: Sequence[str]) -> str | None:
    """The prefix of Prism's paths that a collection names; None if it names another service.

    Args:
        ours: Prism's addresses, as we and as Weaviate see it.
    """
    url = next((config[key] for key in MODULES[module].urls if config.get(key)), None)
    if url is None:
        return None if MODULES[module].public else ""
    try:
        here = origin(url) in {origin(each) for each in ours}
    except ValueError:  # a port that is none
        return None
    return urlsplit(url).path.rstrip("/") if here else None


def findings(collection: Collection, ours: Sequence[str]) -> Iterator[Finding]:
    """One for every module of a collection that takes an address from it."""
    for vector in collection.vectors:
        if module := MODULES.get(vector.module):
            yield from _module(collection.label(vector), vector.module, module, vector.config, ours, ANEW)
    for name, config in collection.rerankers.items():
        if module := MODULES.get(name):
            yield from _module(collection.name, name, module, config, ours, CHANGE)


def _module(
    about: str, name: str, module: Module, config: Mapping[str, Any], ours: Sequence[str], how: str
) -> Iterator[Finding]:
    named = [(key, str(config[key])) for key in module.urls if config.get(key)]
    for key, url in named:
        yield _address(about, f"{name}'s {key} {shown(url)}", url, module, ours, how)
    if module.public and not named:
        says = f"{name} names no {module.urls[0]}: everything goes to {module.public}"
        yield red(CHECK, about, says, f"name Prism's address in {module.urls[0]}, {how}")


def _address(about: str, what: str, url: str, module: Module, ours: Sequence[str], how: str) -> Finding:
    try:
        there = origin(url)
    except ValueError:
        return red(CHECK, about, f"{what} is not a URL", f"name {shown(ours[-1])}, {how}")
    if module.public and there == origin(module.public):
        says = f"{what} is the public service, which Weaviate stores where a collection names none: data go there"
        return red(CHECK, about, says, f"name Prism's address, {how}")
    if there not in {origin(each) for each in ours}:
        says = f"{what} is not {' or '.join(shown(each) for each in ours)}: not checked further"
        return yellow(
            CHECK,
            about,
            says,
            f"if that is this Prism, say so with --seen-as {there}; if it should be, name Prism's address, {how}",
        )
    if url.endswith("/"):
        says = f"{what} ends with a slash: Weaviate asks for {shown(url)}/..., which Prism takes, but few proxies do"
        return yellow(CHECK, about, says, f"leave the slash out, {how} (weaviate-client adds one to a bare host)")
    return green(CHECK, about, f"{what} is this Prism")
