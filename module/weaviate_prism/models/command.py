"""`prism models`: what is known of published models, and how to use one from Weaviate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from weaviate_prism.models import table, usage
from weaviate_prism.models.facts import PROOFS, Entry, Fact

COLUMNS = ("model", "reads", "parameters", "bf16", "licence", "own code", "fastest", "proved")


def run(argv: Sequence[str]) -> int:
    """Prints the table, or one entry; 2 for a model that is not in it."""
    parser = argparse.ArgumentParser(
        prog="prism models",
        description="Published models: what is known of them, and how to use one from Weaviate.",
        allow_abbrev=False,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a model's id on the hub, or the last part of it")
    name = parser.parse_args(argv).name
    if name is None:
        print(overview())
        return 0
    entry = table.find(name)
    if entry is None:
        known = ", ".join(each.name for each in table.ENTRIES)
        print(f"prism models: error: {name!r} is not in the table, which has {known}", file=sys.stderr)
        return 2
    print(details(entry))
    return 0


def row(entry: Entry) -> tuple[str, ...]:
    """One line of the table."""
    facts = (entry.modalities.value, entry.size, entry.memory, entry.licence.value, entry.own_code.value)
    return (entry.name, *facts, entry.tier, entry.proof)


def overview() -> str:
    lines = []
    for kind in ("embedder", "reranker"):
        rows = [COLUMNS, *(row(entry) for entry in table.ENTRIES if entry.kind == kind)]
        widths = [max(len(each[column]) for each in rows) for column in range(len(COLUMNS))]
        lines += [f"{kind.upper()}S", *("  ".join(map(str.ljust, each, widths)).rstrip() for each in rows), ""]
    lines += [f"proved {proof}: {meaning}" for proof, meaning in PROOFS.items()]
    lines += [
        "bf16: memory of the weights, reckoned from their number; batches and caches come on top",
        "own code: Python code of the repository, run only if --trust-remote-code names it with its commit",
        "prism models NAME: sources, prompts, revisions, traps, and how to use it from Weaviate",
    ]
    return "\n".join(lines)


def details(entry: Entry) -> str:
    """All that is known of one model, and how to use it."""
    reckoned = Fact(f"{entry.memory} (reckoned: 2 bytes for each parameter)", "")
    facts = {
        "reads": entry.modalities,
        "dimensions": entry.dimensions if entry.kind == "embedder" else None,
        "parameters": entry.parameters,
        "memory, bf16": reckoned if entry.parameters.source else entry.parameters,
        "licence": entry.licence,
        "own code": entry.own_code,
        "prompt": entry.prompts,
        "revision": entry.revision,
        "pinned by others": entry.commit,
        "trap": entry.trap,
        "and so": Fact(entry.repair, "") if entry.trap else None,
        "fastest way": Fact(entry.tier, ""),
        "proved": Fact(f"{entry.proof}: {PROOFS[entry.proof]}", ""),
    }
    lines = [f"{entry.name}, {entry.kind}", ""]
    for name, fact in facts.items():
        if fact is not None:
            lines += [f"{name:16}  {fact}", *([f"{'':16}  {fact.source}"] if fact.source else [])]
    if entry.noncommercial:
        lines += ["", "Not for commercial use."]
    return "\n".join([*lines, "", usage.guide(entry)])
