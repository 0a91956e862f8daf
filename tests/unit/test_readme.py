"""The README cannot drift: its settings table is the settings, and the files that it names exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from unit.test_imports import LAYERS, PACKAGE
from weaviate_prism.config import Settings, env_of, flag_of, show
from weaviate_prism.models import command, table
from weaviate_prism.profile_file import KEYS
from weaviate_prism.server.rest.routes import CONTRACTS
from weaviate_prism.weaviate.server import STOCK_MODULES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    rows = ["| flag | variable | default | what it does |", "|---|---|---|---|"]
    for field in dataclasses.fields(Settings):
        default = f"`{show(field.default)}`" if show(field.default) else ""
        sentence = field.metadata["help"].replace("|", "\\|")
        rows.append(f"| `{flag_of(field.name)}` | `{env_of(field.name)}` | {default} | {sentence} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_settings() -> None:
    table = settings_table()
    assert table in README, f"put this into README.md:\n{table}"


def test_the_table_of_doors_is_the_doors() -> None:
    lines = README.partition("| module | path | takes | in Weaviate |\n")[2].partition("\n\n")[0].splitlines()[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    doors = {(module, path) for each in CONTRACTS for module in each.modules for path in each.paths}
    plain = {("OpenAI's clients", path) for each in CONTRACTS if not each.modules for path in each.paths}
    assert {(row[0], path) for row in rows for path in re.findall("`(.*?)`", row[1])} == doors | plain
    assert {row[0]: row[3].split("`")[1] for row in rows if row[0] in STOCK_MODULES} == STOCK_MODULES


def models_table() -> str:
    rows = [command.COLUMNS, ("---",) * len(command.COLUMNS), *map(command.row, table.ENTRIES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_models_table_is_the_table() -> None:
    assert models_table() in README, f"put this into README.md:\n{models_table()}"


def test_the_table_of_profiles_has_every_key() -> None:
    section = README.partition("## Profiles\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(KEYS)


def pipeline() -> list[str]:
    """The files that a request passes: those of the layers from the engine down, without what all of them know."""
    tops = [layer[0] for layer in LAYERS]
    passed = [name for layer in LAYERS[tops.index("engine") : tops.index("values")] for name in layer]
    return [f"{name}.py" for name in passed if (PACKAGE / f"{name}.py").exists()]


@pytest.mark.parametrize("file", pipeline())
def test_how_a_request_travels_names_every_file_that_it_passes(file: str) -> None:
    steps = README.partition("## How a request travels\n")[2].partition("\n## ")[0]
    assert f"](module/weaviate_prism/{file})" in steps


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", README))))
def test_a_file_that_is_linked_exists(name: str) -> None:
    assert (ROOT / name).exists()
