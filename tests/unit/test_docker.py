"""The images' files agree with the project, and the licence texts are complete. The images themselves are not built."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from weaviate_prism.config import ENV_PREFIX, Settings, env_of
from weaviate_prism.weaviate.binary import VERSION
from workshop import WEAVIATE, Workshop

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


def found(pattern: str, file: Path) -> str:
    """The one place of a file that matches."""
    (match,) = re.findall(pattern, file.read_text(), re.MULTILINE)
    return str(match)


def test_weaviates_version_is_the_tested_one() -> None:
    assert found(r"^ARG WEAVIATE_VERSION=(.+)$", DOCKER / "weaviate.Dockerfile") == VERSION


def test_uv_is_the_pinned_one() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    assert found(r"pip install .*(uv==\S+)", DOCKER / "prism.Dockerfile") in tools


def test_go_is_the_one_that_the_module_asks_for() -> None:
    wanted = found(r"^go (1\.\d+)", ROOT / "module" / "weaviate" / "go.mod")
    assert found(r"^FROM golang:(1\.\d+)-alpine", DOCKER / "weaviate.Dockerfile") == wanted


@pytest.mark.parametrize("name", ["prism", "weaviate"])
def test_everything_that_is_copied_is_sent_to_the_engine(name: str) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DOCKER / f"{name}.Dockerfile").read_text(), re.MULTILINE)
    ignore = (DOCKER / f"{name}.Dockerfile.dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    sent = {line[1:] for line in ignore if line.startswith("!")}
    assert {path for line in copied for path in line.split() if path != "."} <= sent
    assert all((ROOT / path).exists() for path in sent)


def test_variables_of_the_images_are_settings() -> None:
    for name in ("prism.Dockerfile", "compose.yaml"):
        variables = set(re.findall(rf"^\s+({ENV_PREFIX}(?!MODULE_)\w+)[=:]", (DOCKER / name).read_text(), re.MULTILINE))
        assert variables
        assert variables <= {env_of(field.name) for field in dataclasses.fields(Settings)}


def collect(workshop: Workshop, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ("sh", str(DOCKER / "licenses.sh"), str(workshop.output), str(folder))
    return subprocess.run(command, env=workshop.environment, capture_output=True, text=True, check=False)


def test_licence_texts_of_all_modules_are_collected(workshop: Workshop, tmp_path: Path) -> None:
    module = workshop.modules / f"{WEAVIATE}@v{VERSION}"
    folder = tmp_path / "the licences"
    workshop.built()
    (module / "LICENSE").write_text("BSD-3-Clause")
    (module / "third").mkdir()
    (module / "third" / "NOTICE.txt").write_text("a notice")
    (module / "license.go").write_text("package weaviate")
    assert collect(workshop, folder).returncode == 0
    copied = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    weaviate = f"{WEAVIATE}@v{VERSION}"
    assert copied == {f"{weaviate}/LICENSE", f"{weaviate}/third/NOTICE.txt"}


def test_module_without_a_licence_is_named(workshop: Workshop, tmp_path: Path) -> None:
    workshop.built()
    done = collect(workshop, tmp_path / "licences")
    assert done.returncode != 0
    assert f"no licence text in {workshop.modules}" in done.stderr
