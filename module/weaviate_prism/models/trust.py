"""Whether Python code that comes with a model may run: only that of a repository and version the operator named."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from weaviate_prism.config import Settings
from weaviate_prism.models import table
from weaviate_prism.models.base import ModelError

# How configurations name code of another repository, or directory: `owner/name--module.Class`.
ELSEWHERE = re.compile(r'"([^"\s]+)--\w+(?:\.\w+)+"')


def is_trusted(name: str, revision: str, settings: Settings) -> bool:
    return f"{name}@{revision}" in settings.trust_remote_code


def require_own_code(name: str, folder: Path) -> None:
    """Refuses code that a trusted model takes from another repository, for nobody has named its version.

    Raises:
        ModelError
    """
    for file in sorted({*folder.rglob("*config*.json"), *folder.rglob("modules.json")}):
        others = set(ELSEWHERE.findall(file.read_text())) - {name}
        if others:
            raise ModelError(
                f"{name}: {file.name} names code of {min(others)}, whose version is not fixed; "
                "put it into a directory together with the model"
            )


@contextlib.contextmanager
def refused_by_name(name: str, revision: str, kind: str, *, trusted: bool) -> Iterator[None]:
    """While a model is loaded.

    Raises:
        ModelError: it needs code of its own, and is not trusted; the message says what to set.
    """
    # Without its code, one of an architecture that transformers knows would be read as something else.
    entry = table.find(name)
    if entry and entry.own_code.value == "yes" and not trusted:
        raise ModelError(_needs_code(name, revision, kind))
    try:
        yield
    except ValueError as error:
        if trusted or "trust_remote_code" not in str(error):
            raise
        raise ModelError(_needs_code(name, revision, kind)) from error


def _needs_code(name: str, revision: str, kind: str) -> str:
    asked = f"--{kind}-revision {revision} " if "/" in name else ""  # else a directory
    return (
        f"{name}: needs Python code of its own, which is not run unless you say so. If you have read it, set "
        f"{asked}--trust-remote-code {name}@{revision}"
    )
