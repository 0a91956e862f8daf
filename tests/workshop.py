"""build.sh and a real Go, on a miniature of Weaviate that a proxy of files serves: compiles in a second."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

from weaviate_prism.weaviate.binary import find_go
from weaviate_prism.weaviate.native import sources

MINIATURE = Path(__file__).parent / "unit" / "miniature"
WEAVIATE = "github.com/weaviate/weaviate"


class Workshop:
    """A Go module with our build.sh, Weaviate's releases on a proxy of files, and caches of its own."""

    def __init__(self, folder: Path) -> None:
        self.module = folder / "the module"
        self.scratch = folder / "the scratch"
        self.output = folder / "the output" / "weaviate"
        self.modules = folder / "modules"
        self._proxy = folder / "proxy"
        self.environment = {
            **os.environ,
            "PATH": f"{find_go().parent}{os.pathsep}{os.environ['PATH']}",
            "GOMODCACHE": str(self.modules),
            "GOPROXY": self._proxy.as_uri(),
            "GONOSUMDB": WEAVIATE,
            "GOFLAGS": "-modcacherw",
            "TMPDIR": str(self.scratch),
        }
        self.scratch.mkdir()
        shutil.copytree(MINIATURE / "prism", self.module)
        for part in ("hook", "blobcheck"):
            shutil.copytree(sources() / part, self.module / part)
        shutil.copy(sources() / "build.sh", self.module)

    def release(self, version: str, file: str = "", old: str = "", new: str = "") -> None:
        """Publishes the miniature as this version, after a change of one file."""
        folder = self._proxy / WEAVIATE / "@v"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"v{version}.info").write_text(f'{{"Version": "v{version}"}}')
        shutil.copy(MINIATURE / "weaviate" / "go.mod", folder / f"v{version}.mod")
        with zipfile.ZipFile(folder / f"v{version}.zip", "w") as archive:
            for path in (MINIATURE / "weaviate").rglob("*.*"):
                name = path.relative_to(MINIATURE / "weaviate")
                text = path.read_text()
                if str(name) == file:
                    assert old in text
                    text = text.replace(old, new)
                archive.writestr(f"{WEAVIATE}@v{version}/{name}", text)

    def pin(self) -> None:
        """Writes go.sum for the release that go.mod names."""
        subprocess.run(("go", "mod", "download", WEAVIATE), cwd=self.module, env=self.environment, check=True)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ("sh", str(self.module / "build.sh"), *arguments),
            cwd=self.scratch.parent,
            env={**self.environment, **variables},
            stderr=subprocess.PIPE,
            text=True,
        )

    def refused(self, *arguments: str, **variables: str) -> str:
        """What is said by a build that fails, and leaves nothing."""
        with self.start(str(self.output), *arguments, **variables) as build:
            _, said = build.communicate()
        assert build.returncode != 0
        assert not self.output.exists()
        assert not list(self.scratch.iterdir())
        return said

    def built(self, *arguments: str, **variables: str) -> Path:
        with self.start(str(self.output), *arguments, **variables) as build:
            _, said = build.communicate()
        assert build.returncode == 0, said
        assert not list(self.scratch.iterdir())
        return self.output
