"""What `--keep` leaves is what it says: both servers answer the printed snippet, and end as told."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weaviate_prism.demo.snippet import SNIPPET
from weaviate_prism.weaviate.binary import ensure_binary
from weaviate_prism.weaviate.server import answers

WAIT = 300.0
FEW = "60"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The output of a demo that has ended and left its servers; they are ended the way it tells."""
    ensure_binary()
    folder = tmp_path_factory.mktemp("kept")
    report = folder / "report.html"
    command = [sys.executable, "-m", "weaviate_prism.cli", "demo", "--keep", "--objects", FEW, "--report", str(report)]
    log = report.with_suffix(".log")
    with log.open("w") as output:  # no pipe: the servers would hold it open
        environment = {**os.environ, "TMPDIR": str(folder)}
        subprocess.run(command, stdout=output, stderr=output, env=environment, timeout=WAIT, check=False)
    text = log.read_text()
    try:
        yield text
    finally:
        if end := re.search(r"^To end: (kill \d+ \d+);", text, re.MULTILINE):
            subprocess.run(end[1].split(), check=True)


def urls(output: str) -> tuple[str, ...]:
    match = re.search(r"Prism at (\S+), Weaviate at (\S+)", output)
    assert match, output
    return match.groups()


def test_both_servers_keep_running(kept: str) -> None:
    prism, weaviate = urls(kept)
    assert answers(f"{prism}/.well-known/ready")
    assert answers(f"{weaviate}/v1/.well-known/ready")


def test_printed_snippet_finds_and_reranks(kept: str) -> None:
    ports = re.search(r"port=(\d+), grpc_port=(\d+)", kept)
    assert ports, kept
    code = SNIPPET.format(http_port=ports[1], grpc_port=ports[2])
    assert code in kept
    assert len(code.splitlines()) == 10
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "snippet", "exec"), {})
    scores = [float(line.split()[0]) for line in printed.getvalue().splitlines()]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)


def test_data_folder_is_told_and_there(kept: str) -> None:
    end = re.search(r"rm -r (.*)$", kept, re.MULTILINE)
    assert end, kept
    assert (Path(end[1]) / "weaviate").is_dir()
