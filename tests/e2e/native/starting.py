"""A native Weaviate that may never get ready."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from weaviate_prism.weaviate.server import LOOPBACK, free_ports, single_node

GIVES_UP = 150.0  # Weaviate's modules have 120 s
CLOSED = f"{LOOPBACK}:1"  # tcpmux; nobody listens there


class Starting:
    """Weaviate's process while the block runs, with the modules asking an address where nobody answers."""

    def __init__(self, binary: Path, folder: Path, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        ports = free_ports(6)
        self._log = folder / "weaviate.log"
        self._command = [str(binary), "--scheme", "http", "--host", LOOPBACK, "--port", str(ports[0])]
        self._environment = {
            **single_node(ports, folder),
            "ENABLE_MODULES": "multi2vec-prism,reranker-prism",
            "PRISM_MODULE_ADDRESS": CLOSED,
            **variables,
        }

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def failure(self) -> str:
        """Its log, once it has ended by itself with a failure."""
        assert self._process.wait(GIVES_UP) != 0
        return self._log.read_text()
