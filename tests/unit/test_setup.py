"""The set-up script on machines that lack something; that it works on a bare one is seen by running it."""

from __future__ import annotations

import ctypes.util
import importlib.machinery
import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "setup"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The script as a module, for an empty checkout and an empty PATH; no FFmpeg, no right to install it."""
    loader = importlib.machinery.SourceFileLoader("setup_script", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    for name in ("VENV", "PYTHON", "UV"):
        monkeypatch.setattr(module, name, tmp_path / getattr(module, name).relative_to(module.ROOT))
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    return module


def command(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_missing_ffmpeg_is_told_where_it_may_not_be_installed(setup: types.ModuleType) -> None:
    assert setup.install_system_packages() == ["ffmpeg"]


def test_missing_ffmpeg_is_installed_with_sudo(setup: types.ModuleType, tmp_path: Path) -> None:
    command(tmp_path, "apt-get", "exit 1")
    command(tmp_path, "sudo", f'echo "$@" >> {tmp_path}/log')
    assert setup.install_system_packages() == []
    assert (tmp_path / "log").read_text().splitlines() == [
        "env DEBIAN_FRONTEND=noninteractive apt-get -q update",
        "env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends ffmpeg",
    ]


def test_failed_installation_is_told(setup: types.ModuleType, tmp_path: Path) -> None:
    command(tmp_path, "apt-get", "exit 0")
    command(tmp_path, "sudo", "exit 1")
    assert setup.install_system_packages() == ["ffmpeg"]


def test_python_without_venv_ends_the_setup(setup: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"apt-get install python3\.\d+-venv"):
        setup.install_system_packages()


def test_unsuitable_python_ends_the_setup(setup: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "VERSIONS", ((2, 7),))
    with pytest.raises(SystemExit, match="is needed"):
        setup.choose_interpreter()


def test_another_python_on_the_path_is_taken_if_it_starts(
    setup: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "VERSIONS", ((2, 6), (2, 7)))
    chosen: list[str] = []
    monkeypatch.setattr(setup, "restart_with", chosen.append)
    command(tmp_path, "python2.7", "exit 1")
    good = command(tmp_path, "python2.6", "exit 0")
    with pytest.raises(SystemExit):
        setup.choose_interpreter()
    assert chosen == [str(good)]


@pytest.mark.parametrize(
    ("told", "enough"),
    [
        ("echo go version go1.26.8 linux/amd64", True),
        ("echo go version go1.21.0 linux/amd64", True),
        ("echo go version go1.19.8 linux/amd64", False),
        ("exit 1", False),
    ],
)
def test_go_is_installed_where_there_is_none_that_is_new_enough(
    told: str, enough: bool, setup: types.ModuleType, tmp_path: Path
) -> None:
    assert not setup.has_go()
    command(tmp_path, "go", told)
    assert setup.has_go() == enough


def test_go_that_the_setup_installed_before_stays(
    setup: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = setup.VENV / "bin"
    folder.mkdir(parents=True)
    command(folder, "go", "echo go version go1.26.6 linux/amd64")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{tmp_path}")
    assert not setup.has_go()
