"""A Weaviate with the native modules is built when it is missing or outdated; a small script stands for build.sh."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from weaviate import embedded

from weaviate_prism.weaviate import binary, command, native
from weaviate_prism.weaviate.binary import WeaviateError

BUILD = """\
[ -z "${WEAVIATE_VERSION-}" ] || exit 1
echo "$@" | sed "s|^[^ ]*/||" > "$1"
chmod +x "$1"
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go module with the script; an empty cache, and a Go that only tells its version."""
    folder = tmp_path / "module"
    for name in ("hook/hook.go.txt", "prismv1/prism.go", "register.go", "go.mod"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "build.sh").write_text(BUILD)
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho go version go1.26.6 linux/amd64\n")
    go.chmod(0o755)
    monkeypatch.setattr(native, "sources", lambda: folder)
    monkeypatch.setattr(sys, "executable", str(go.with_name("python")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_weaviate_client_finds_it() -> None:
    path = native.ensure_native()
    folder = str(path.parent)
    client = embedded.EmbeddedV4(
        embedded.EmbeddedOptions(version=binary.VERSION, binary_path=folder, persistence_data_path=folder)
    )
    client.ensure_weaviate_binary_exists()
    assert client._weaviate_binary_path == path


def test_both_kinds_and_the_stock_server_lie_side_by_side() -> None:
    plain, fast = native.ensure_native(), native.ensure_native(fast_blob_check=True)
    assert len({plain, fast, binary.cached_path()}) == 3
    assert plain.read_text() == "weaviate\n"
    assert fast.read_text() == "weaviate --fast-blob-check\n"
    assert sorted(path.name for path in plain.parent.iterdir()) == ["sources", plain.name]


def test_it_is_built_once() -> None:
    told: list[str] = []
    native.ensure_native(progress=told.append)
    assert any("compiling" in line for line in told)
    told.clear()
    native.ensure_native(progress=told.append)
    assert not told


@pytest.mark.parametrize(
    "name", ["hook/hook.go.txt", "prismv1/prism.go", "register.go", "go.mod", "build.sh", "new.go"]
)
def test_it_is_built_again_after_a_change(name: str, module: Path) -> None:
    path = native.ensure_native()
    path.write_text("outdated")
    with (module / name).open("a") as changed:
        changed.write("# changed\n")
    assert native.ensure_native().read_text() != "outdated"


def test_a_changed_test_is_no_reason(module: Path) -> None:
    path = native.ensure_native()
    path.write_text("kept")
    (module / "register_test.go").write_text("package prism")
    assert native.ensure_native().read_text() == "kept"


def test_failure_tells_what_was_said_last_and_leaves_nothing(module: Path) -> None:
    (module / "build.sh").write_text("echo the anchor is gone >&2; exit 1")
    with pytest.raises(WeaviateError, match="the anchor is gone"):
        native.ensure_native()
    assert not list(native.native_path().parent.iterdir())


def test_variable_for_another_release_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAVIATE_VERSION", "1.38.11")
    assert native.ensure_native().exists()


def test_missing_go_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tmp_path / "bin")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(WeaviateError, match=r"Go is not installed; install Go 1\.21 or newer"):
        native.ensure_native()


def test_command_prints_the_path_alone_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["build"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{native.native_path()}\n"
    assert "compiling" in captured.err
    output = tmp_path / "somewhere" / "weaviate"
    assert command.run(["build", "--output", str(output), "--fast-blob-check"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert output.read_text() == "weaviate --fast-blob-check\n"


def test_command_tells_a_failure(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (module / "build.sh").write_text("echo the anchor is gone >&2; exit 1")
    assert command.run(["build"]) == 1
    captured = capsys.readouterr()
    assert "the anchor is gone" in captured.err
    assert not captured.out


def test_command_tells_that_the_output_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert command.run(["build", "--output", str(file / "weaviate")]) == 1
    captured = capsys.readouterr()
    assert f"error: [Errno 17] File exists: '{file}'" in captured.err
    assert not captured.out


def test_interrupted_build_ends_its_compiler(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    (module / "build.sh").write_text(
        f"trap 'exit 130' TERM; sleep 300 & echo $! > {started}.new; mv {started}.new {started}; wait"
    )

    def interrupt(_: str) -> None:
        if started.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(binary, "REPORT_SECONDS", 0.01)
    with pytest.raises(KeyboardInterrupt):
        native.ensure_native(progress=interrupt)
    assert ended(int(started.read_text()))
    assert not list(native.native_path().parent.iterdir())


def ended(pid: int) -> bool:
    """Whether a process is gone, or goes within seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        state = subprocess.run(
            ("ps", "-o", "stat=", "-p", str(pid)), capture_output=True, text=True, check=False
        ).stdout
        if not state.strip() or state.startswith("Z"):
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return False
