"""`prism demo` as a newcomer runs it: it shows what it promises, and leaves nothing behind but the report."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from weaviate_prism.weaviate.binary import ensure_binary
from weaviate_prism.weaviate.server import answers

WAIT = 300.0
FEW = "60"
RUNNING = re.compile(r"Prism at (\S+), Weaviate at (\S+)")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary ones, so that whatever is left is seen."""
    ensure_binary()
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def start(*flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "weaviate_prism.cli", "demo", "--objects", FEW, *flags]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "COLUMNS": "200"}
    )


def servers(output: str) -> tuple[str, ...]:
    """The addresses of Prism and Weaviate."""
    match = RUNNING.search(output)
    assert match, output
    return match.groups()


def test_demo_meets_its_expectations_and_leaves_only_the_report(temporary: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    demo = start("--report", str(report))
    output, _ = demo.communicate(timeout=WAIT)
    assert demo.returncode == 0, output
    assert str(report) in output
    assert "four purple stars" in output
    assert "four purple stars" in report.read_text()
    assert not any(answers(url) for url in servers(output))
    assert not list(temporary.glob("prism-demo-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_stops_both_servers_and_removes_its_folder(
    number: signal.Signals, temporary: Path, tmp_path: Path
) -> None:
    with start("--report", str(tmp_path / "report.html")) as demo:
        assert demo.stdout
        line = next(line for line in demo.stdout if RUNNING.search(line))
        demo.send_signal(number)
        rest, _ = demo.communicate(timeout=WAIT)
    assert demo.returncode == 130, rest
    assert "Traceback" not in rest
    assert not any(answers(url) for url in servers(line))
    assert not list(temporary.glob("prism-demo-*"))
