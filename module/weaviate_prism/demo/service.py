"""Prism as its users start it: the process `prism serve`, on free ports, with the bundled pair."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from weaviate_prism.config import ENV_PREFIX
from weaviate_prism.weaviate.binary import finished, last_lines
from weaviate_prism.weaviate.server import LOOPBACK, answers, free_ports

START_SECONDS = 120.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and, where there is one, what to do."""


class Prism:
    """One `prism serve`, logging to `prism.log` in `folder`; starts on entering, is ready after `wait`."""

    def __init__(self, folder: Path) -> None:
        self.http_port, self.grpc_port = free_ports(2)
        self.url = f"http://{LOOPBACK}:{self.http_port}"
        self._log = folder / "prism.log"
        self._process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "weaviate_prism.cli", "serve", "--host", LOOPBACK]
        command += ["--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port)]
        # The demo's expectations are made for the default settings.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is for the demo, which then stops Weaviate first
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            finished(self._process, STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()

    def wait(self) -> None:
        """Returns when the models answer.

        Raises:
            DemoError: Prism ended, or is not ready in time; with the end of its log.
        """
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{self.url}/.well-known/ready"):
            if finished(self._process, POLL_SECONDS):
                raise DemoError(f"Prism ended with status {self._process.returncode}:\n{last_lines(self._log, 15)}")
            if time.monotonic() > deadline:
                raise DemoError(f"Prism not ready after {START_SECONDS:.0f} s:\n{last_lines(self._log, 15)}")
