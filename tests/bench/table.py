"""What was measured: a line of JSON for each row while it runs, and a table at the end."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from weaviate_prism.cores import usable_cores

# What stands in columns of its own; all else are figures.
WORDS = ("bench", "what", "model", "dtype", "tier", "cache")
COLUMNS = (*WORDS, "ratio", "wanted")
LEGEND = "ratio: as the bench's file says at its top; _s: seconds, _ms: milliseconds, _mb: million bytes, p50: median"
WIDTH = 200
PACKAGES = ("torch", "transformers", "sentence-transformers")


CPU = Path("/proc/cpuinfo").read_text()
# Without it a CPU computes in float32, where less can be gained.
AMX = "amx_bf16" in CPU


def environment() -> dict[str, Any]:
    """What figures depend on."""
    name = re.search(r"^model name\s*: (.*)", CPU, re.MULTILINE)
    return {
        "cpu": name and name[1],
        "cores": usable_cores(),
        "cores_of_machine": os.cpu_count(),
        **{feature: feature in CPU for feature in ("avx512f", "avx512_bf16", "amx_bf16")},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        **{name: version(name) for name in PACKAGES},
    }


def line(row: Mapping[str, Any]) -> str:
    return json.dumps({name: _rounded(value) for name, value in row.items()})


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """One row each; figures, ratios and what is wanted as lines of name and number."""
    shown = Table(show_lines=True, caption=LEGEND)
    for column in (*WORDS, "figures", "ratio", "wanted"):
        shown.add_column(column, overflow="fold")
    for row in rows:
        figures = {name: value for name, value in row.items() if name not in COLUMNS}
        cells = (*(row.get(word) for word in WORDS), figures, row.get("ratio"), row.get("wanted"))
        shown.add_row(*map(_cell, cells))
    text = io.StringIO()
    Console(file=text, width=WIDTH, markup=False).print(shown)
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name} {_cell(each)}" for name, each in value.items())
    return "" if value is None else str(_rounded(value))
