"""`prism serve` with the bundled pair until it is ready, beside Sentence Transformers' own way to load both.

CPU seconds are those of the whole process, which a busy machine changes less than the time on the clock.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from servers import BUNDLED, Prism
from weaviate_prism import bundled

ROUNDS = 3
IMPORT = "import sentence_transformers as st"
LOAD = (
    f"{IMPORT}; st.SentenceTransformer({str(bundled.EMBEDDER_DIR)!r}); st.CrossEncoder({str(bundled.RERANKER_DIR)!r})"
)


def served() -> tuple[float, float]:
    """Seconds on the clock and of CPU until `/.well-known/ready` would say so."""
    began = time.perf_counter()
    with Prism(*BUNDLED) as prism:
        took = time.perf_counter() - began
        user, system = Path(f"/proc/{prism.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return took, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def loaded(code: str) -> tuple[float, float]:
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu


def test_start(report: Callable[..., None]) -> None:
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "ready": served,
        "plain": lambda: loaded(LOAD),
        "import": lambda: loaded(IMPORT),
    }
    turns = [{name: way() for name, way in ways.items()} for _ in range(ROUNDS)]
    figures = {
        f"{name}_{what}": statistics.median(turn[name][place] for turn in turns)
        for name in ways
        for place, what in enumerate(("seconds", "cpu_seconds"))
    }
    report(
        what="ready to serve; the same models loaded, and the libraries imported, without Prism",
        model="bundled pair",
        wanted={"ready_seconds": 8},
        **figures,
        ready_per_plain=figures["ready_cpu_seconds"] / figures["plain_cpu_seconds"],
    )
