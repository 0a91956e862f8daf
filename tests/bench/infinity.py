"""infinity-emb as its users start it, in a virtual environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from bench.models import cache_folder, directory
from contract.running import WAIT
from weaviate_prism.weaviate.server import LOOPBACK, free_ports

PACKAGES = (
    "infinity-emb[server,torch,vision,optimum]==0.0.77",
    # what it asks for by itself does not start together: numpy below 2, and names that newer versions took away
    "click<8.2",
    "optimum<2",
    "pyarrow<22",
)
INSTALL_SECONDS, START_SECONDS = 900, 240


class Unavailable(Exception):
    """It cannot be had on this machine; the message says why."""


def executable() -> Path:
    """Installs it in the first call, with the torch of this process.

    Raises:
        Unavailable: it does not install.
    """
    place = cache_folder() / "infinity"
    program = place / "bin" / "infinity_emb"
    installed = place / "installed"  # written last
    if not installed.exists():
        torches = [f"{name}=={version(name)}" for name in ("torch", "torchvision")]
        _uv("venv", "--clear", "--python", sys.executable, str(place))
        _uv("pip", "install", "--compile-bytecode", "--python", str(place / "bin" / "python"), *PACKAGES, *torches)
        installed.touch()
    return program


def _uv(*arguments: str) -> None:
    uv = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if not uv:
        raise Unavailable("there is no uv to install it with")
    done = subprocess.run(
        [uv, *arguments],
        check=False,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    if done.returncode:
        raise Unavailable(f"uv {arguments[0]}: {done.stderr.strip()[-300:]}")


def older_layout(model: Path) -> Path:
    """The same weights beside the files that transformers 4 reads."""
    place = cache_folder() / "older" / model.name
    place.mkdir(parents=True, exist_ok=True)
    for file in model.iterdir():
        link = place / file.name
        if file.is_file() and file.name not in ("processor_config.json", "modules.json") and not link.exists():
            link.symlink_to(file)
    processor = model / "processor_config.json"
    if processor.exists():
        pictures = json.loads(processor.read_text())["image_processor"]
        (place / "preprocessor_config.json").write_text(json.dumps({**pictures, "processor_class": "CLIPProcessor"}))
    return place


class Infinity:
    """Serves one model while the block runs."""

    def __init__(self, model: str) -> None:
        self.model = model

    def __enter__(self) -> Self:
        """
        Raises:
            Unavailable: it does not install, or does not start.
        """
        (port,) = free_ports(1)
        self.url = f"http://{LOOPBACK}:{port}"
        log = cache_folder() / "infinity.log"
        folder = older_layout(directory(self.model))
        options = ["--model-id", str(folder), "--served-model-name", self.model, "--engine", "torch", "--device", "cpu"]
        options += ["--no-model-warmup"]  # a minute of work that a first turn does as well
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [executable(), "v2", *options, "--host", LOOPBACK, "--port", str(port)],
                stdout=file,
                stderr=file,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"},
            )
        with contextlib.ExitStack() as stack:
            stack.callback(self._kill)
            if not self._answers():
                raise Unavailable(f"does not start: {log.read_text().strip()[-300:]}")
            stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._kill()

    def _answers(self) -> bool:
        end = time.monotonic() + START_SECONDS
        with httpx.Client(base_url=self.url) as http:
            while time.monotonic() < end and self._process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    if http.get("/health").status_code == 200:
                        return True
                time.sleep(0.2)
        return False

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait(WAIT)
