"""Whether the addresses in collections' configs are Prism's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.check.known import MODULES, Module
from weaviate_prism.check.schema import Collection

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
    return path_of(url, ours)


def path_of(url: str, ours: Sequence[str]) -> str | None:
    """The prefix of Prism's paths in an address; None if it is another service's."""
    try:
        here = origin(url) in {origin(each) for each in ours}
    except ValueError:  # a port that is none
        return None
    return urlsplit(url).path.rstrip("/") if here else None


def findings(collection: Collection, ours: Sequence[str], key: str = "") -> Iterator[Finding]:
    """One for every module of a collection that takes an address from it.

    Args:
        ours: Prism's addresses, as we and as Weaviate see it.
        key: that Prism asks for; empty if for none.
    """
    for vector in collection.vectors:
        yield from _module(collection.label(vector), vector.module, vector.config, ours, key, ANEW)
    for name, config in collection.rerankers.items():
        yield from _module(collection.name, name, config, ours, key, CHANGE)


def _module(
    about: str, name: str, config: Mapping[str, Any], ours: Sequence[str], key: str, how: str
) -> Iterator[Finding]:
    module = MODULES.get(name, Module())
    named = [(each, str(config[each])) for each in module.urls if config.get(each)]
    for each, url in named:
        what = f"{name}'s {each} {shown(url)}"
        wrong = _elsewhere(about, what, url, module, ours, how) or _imperfect(about, what, url, module, key, how)
        # nobody can leave out what weaviate-client adds
        slash = "; Prism takes the slash that weaviate-client adds to a bare host" if _added(module, url) else ""
        yield wrong or green(Check.BASE_URL, about, f"{what} is this Prism{slash}")
    if module.public and not named:
        says = f"{name} names no {module.urls[0]}: everything goes to {module.public}"
        yield red(Check.BASE_URL, about, says, f"name Prism's address in {module.urls[0]}, {how}")


def _elsewhere(about: str, what: str, url: str, module: Module, ours: Sequence[str], how: str) -> Finding | None:
    try:
        there = origin(url)
    except ValueError:
        return red(Check.BASE_URL, about, f"{what} is not a URL", f"name {shown(ours[-1])}, {how}")
    if module.public and there == origin(module.public):
        says = f"{what} is the public service, which Weaviate stores where a collection names none: data go there"
        return red(Check.BASE_URL, about, says, f"name Prism's address, {how}")
    if there not in {origin(each) for each in ours}:
        says = f"{what} is not {' or '.join(shown(each) for each in ours)}: not checked further"
        cure = f"if that is this Prism, say so with --seen-as {there}; if it should be, name Prism's address, {how}"
        return yellow(Check.BASE_URL, about, says, cure)
    return None


def _imperfect(about: str, what: str, url: str, module: Module, key: str, how: str) -> Finding | None:
    # modules of public services show their own key in a header
    if key and not module.public and unquote(urlsplit(url).password or "") != key:
        says = f"{what} lacks the key that Prism asks for, or has a wrong one: Prism refuses all of it"
        return red(Check.BASE_URL, about, says, f"name http://prism:KEY@HOST:PORT, {how}")
    if url.endswith("/") and not _added(module, url):
        says = f"{what} ends with a slash: Weaviate asks for {shown(url)}/..., which Prism takes, but few proxies do"
        return yellow(Check.BASE_URL, about, says, f"leave the slash out, {how}")
    return None


def _added(module: Module, url: str) -> bool:
    """Whether the slash at the end is weaviate-client's, whose types of addresses add one to a bare host."""
    return bool(module.public) and urlsplit(url).path == "/"
