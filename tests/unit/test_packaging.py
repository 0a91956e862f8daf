"""The built wheel is complete and works where the repository is not, and the lock names public hosts only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import weaviate_prism

uv = pytest.importorskip("uv", reason="uv, which builds the wheel, is not installed")

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """The standard output of a command that knows nothing of the test's environment."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a source distribution, so that both are known to be complete."""
    folder = tmp_path_factory.mktemp("dist")
    run(uv.find_uv_bin(), "build", "--quiet", "--python", sys.executable, "--out-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; what it depends on is taken from where the tests run."""
    folder = tmp_path_factory.mktemp("clean")
    run(uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, folder, cwd=folder)
    python = folder / "bin" / "python"
    run(uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", python, wheel, cwd=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    # .pth files of a folder named in a .pth file are not read: the editable install stays out
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_wheel_holds_code_protos_weights_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "module" / "weaviate_prism"
    wanted = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(package.parent)) for path in wanted} <= names
    for name in ("py.typed", "v1/prism_pb2.py", "v1/prism_pb2.pyi", "v1/prism_pb2_grpc.py", "v1/prism_pb2_grpc.pyi"):
        assert f"weaviate_prism/{name}" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"weaviate_prism"}


def test_wheel_holds_the_go_module(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    module = ROOT / "module" / "weaviate"
    wanted = {path.relative_to(module) for path in module.rglob("*") if path.is_file()}
    assert {Path("build.sh"), Path("go.sum"), Path("prismv1/prism.pb.go"), Path("hook/prism_hook.go.txt")} <= wanted
    assert {f"weaviate_prism/weaviate/modules/{path}" for path in wanted} <= names


def test_wheel_imports_in_a_clean_environment(clean_environment: Path) -> None:
    code = "import weaviate_prism.v1.prism_pb2_grpc as grpc; print(grpc.__file__, grpc.prism__pb2.Task.Name(1))"
    code = code.replace("prism__pb2", "weaviate__prism_dot_v1_dot_prism__pb2")
    file, task = run(clean_environment / "bin" / "python", "-c", code, cwd=clean_environment).split()
    assert Path(file).is_relative_to(clean_environment)
    assert task == "TASK_DOCUMENT"


def test_installed_command_tells_its_version(clean_environment: Path) -> None:
    told = run(clean_environment / "bin" / "prism", "--version", cwd=clean_environment)
    assert told == f"prism {weaviate_prism.__version__}\n"


def test_installed_package_finds_the_go_module(clean_environment: Path) -> None:
    code = "from weaviate_prism.weaviate import native; print(native.sources())"
    found = Path(run(clean_environment / "bin" / "python", "-c", code, cwd=clean_environment).strip())
    assert found.is_relative_to(clean_environment)
    assert (found / "build.sh").is_file()


def test_installed_command_builds_weaviate(clean_environment: Path) -> None:
    assert "--fast-blob-check" in run(
        clean_environment / "bin" / "prism", "weaviate", "build", "--help", cwd=clean_environment
    )


def test_lock_fits_the_project() -> None:
    run(uv.find_uv_bin(), "lock", "--check", "--offline", "--quiet", cwd=ROOT)


def test_lock_names_public_hosts_only() -> None:
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
