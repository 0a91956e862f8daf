"""A Weaviate with Prism's own modules inside, multi2vec-prism and reranker-prism, compiled by the Go module's build.sh.

It lies in a folder of its own in the cache, under the same name as the stock one, so that
`EmbeddedOptions(version=VERSION, binary_path=native_path().parent)` finds it too.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from weaviate_prism.weaviate.binary import (
    VERSION,
    Progress,
    cache_folder,
    cached_path,
    compile_server,
    find_go,
)

FAST_BLOB_CHECK = "fast-blob-check"
SOURCES = ("*.go", "go.*", "*.sh", "hook/*", "blobcheck/*.go", "prismv1/*.go")


def sources() -> Path:
    """The folder of the Go module: inside an installed package, else beside it in the repository."""
    installed = Path(__file__).with_name("modules")
    return installed if installed.is_dir() else Path(__file__).parents[2] / "weaviate"


def native_path(fast_blob_check: bool = False) -> Path:
    """Where the executable lies, or would lie."""
    folder = f"native-{FAST_BLOB_CHECK}" if fast_blob_check else "native"
    return cache_folder() / folder / cached_path().name


def ensure_native(fast_blob_check: bool = False, progress: Progress = print) -> Path:
    """The path of an executable Weaviate server with Prism's modules, built where it is missing or its sources changed.

    Args:
        fast_blob_check: replaces the regular expression that Weaviate runs over every blob.
        progress: told in one line each what takes long.

    Raises:
        WeaviateError: it cannot be built; the message says what to do.
    """
    path = native_path(fast_blob_check)
    stamp = path.with_name("sources")
    current = fingerprint()
    if os.access(path, os.X_OK) and stamp.exists() and stamp.read_text() == current:
        return path
    build_native(path, fast_blob_check, progress)
    stamp.write_text(current)
    return path


def build_native(output: Path, fast_blob_check: bool = False, progress: Progress = print) -> None:
    """Builds the server; `output` appears, or is replaced, when it is complete.

    Raises:
        WeaviateError: Go is missing, too old, or fails; the message ends with what was said last.
    """
    go = find_go()
    environment = {**os.environ, "PATH": os.pathsep.join([str(go.parent), os.environ.get("PATH", os.defpath)])}
    environment.pop("WEAVIATE_VERSION", None)  # of build.sh: names and checks here are for VERSION
    output.parent.mkdir(parents=True, exist_ok=True)
    progress(f"compiling Weaviate {VERSION} with Prism's modules")
    # Beside its final place, so that the rename is atomic: an interrupted build leaves no half a file.
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        built = Path(scratch) / "weaviate"
        command = ["/bin/sh", str(sources() / "build.sh"), str(built)]
        command += [f"--{FAST_BLOB_CHECK}"] if fast_blob_check else []
        compile_server(command, Path(scratch), environment, progress)
        built.replace(output)


def fingerprint() -> str:
    """A digest of all that the executable is built from."""
    digest = hashlib.sha256()
    for path in sorted(files()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(sources())} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def files() -> Iterator[Path]:
    """The Go module's files, tests left out."""
    for pattern in SOURCES:
        yield from (path for path in sources().glob(pattern) if not path.name.endswith("_test.go"))
