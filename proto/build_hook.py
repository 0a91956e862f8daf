"""Compiles `proto/prism/v1` into `weaviate_prism.v1` whenever a wheel or an editable install is built.

protoc names a module by the path of its source, and generated modules import each other by that name.
Showing it `proto/prism/v1` under the path `weaviate_prism/v1` is enough to place them inside the package,
https://grpc.io/docs/languages/python/basics/#generating-client-and-server-code.

A wheel also carries the sources of the Go module; an editable install finds them in the repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "proto/prism/v1"
PACKAGE = "weaviate_prism/v1"
GO_MODULE = "module/weaviate"
GO_MODULE_IN_WHEEL = "weaviate_prism/weaviate/modules"


class ProtoBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        protos = sorted(path.name for path in Path(self.root, SOURCE).glob("*.proto"))
        outputs = [f"--{kind}_out=module" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", f"-I{PACKAGE}={SOURCE}", *outputs]
            + [f"{PACKAGE}/{name}" for name in protos],
            cwd=self.root,
            # protoc looks for its mypy plugin on the path; the build environment need not be activated
            env={**os.environ, "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])},
            check=True,
        )
        if version != "editable":
            build_data["force_include"][GO_MODULE] = GO_MODULE_IN_WHEEL
