"""The command line answers without loading a model library."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from weaviate_prism import __version__
from weaviate_prism.cli import NO_READER, main


def prism(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "weaviate_prism.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("--help",),
        ("serve", "--help"),
        ("models",),
        ("weaviate", "build", "--help"),
        ("check", "--help"),
    ],
)
def test_help_and_version_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    done = prism(*arguments)
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "weaviate_prism.config" in imported
    assert not imported & {"torch", "transformers", "sentence_transformers", "grpc", "starlette", "uvicorn", "numpy"}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"prism {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serve", "--frobnicate", "3"], "--frobnicate 3"),
        (["serve", "--http", "80"], "--http 80"),  # no guessing of abbreviations
        (["serve", "somewhere"], "somewhere"),
        (["fly"], "fly"),
        (["weaviate", "fly"], "fly"),
        (["weaviate", "build", "--fast"], "--fast"),
        (["check", "--frobnicate"], "--frobnicate"),
        (["weaviate"], "COMMAND"),
        ([], "COMMAND"),
    ],
)
def test_what_is_unknown_is_named(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--http-port", "eighty"), ("--http-port", "70000"), ("--device", "tpu"), ("--rerank-logits", "maybe")],
)
def test_a_malformed_value_is_named_with_its_flag(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", flag, value]) == 2
    error = capsys.readouterr().err
    assert flag in error
    assert value in error


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_error(unbuffered: str) -> None:
    """As in `prism models | head`: it shows in the midst of writing, or when all is written."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        command = [sys.executable, "-m", "weaviate_prism.cli", "models"]
        variables = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, env=variables, check=False)
    assert (done.returncode, done.stderr) == (NO_READER, b"")
