"""Who may import whom, and that importing and asking for help cost nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "module" / "weaviate_prism"

# From the top down: a module imports from its own layer or one below, never from above.
LAYERS = (
    ("cli",),
    ("demo", "check"),
    ("server.app",),
    ("server",),
    ("engine",),
    ("catalog", "vectorizing", "reranking"),
    ("admission", "fusion", "preparing", "recalling", "scheduling.stages", "units"),
    ("intake",),
    ("cache", "vision_cache", "media", "video", "room", "store", "models", "bundled", "scheduling.ahead"),
    ("flights", "scheduling.backlog", "scheduling.stage"),
    ("scheduling.scheduler",),
    ("scheduling.jobs", "scheduling.queries", "scheduling.returning"),
    ("scheduling.batching",),
    ("scheduling.pace", "scheduling"),
    ("client",),
    ("aside",),
    ("values", "errors", "lru", "metrics", "config", "cores", "profile_file", "profiles", "tracing", "weaviate", "v1"),
)

# The only parts of the package that may import these libraries.
OWNERS = {
    "torch": ("models", "bundled", "video"),
    "torchvision": ("models", "bundled"),
    "torchcodec": ("video", "bundled"),
    "transformers": ("models", "bundled"),
    "sentence_transformers": ("models", "bundled"),
    "safetensors": ("models", "bundled"),
    "huggingface_hub": ("models",),
    "grpc": ("server.rpc", "client", "check", "v1"),
    "grpc_health": ("server.rpc", "check"),
    "grpc_reflection": ("server.rpc",),
    "starlette": ("server",),
    "uvicorn": ("server",),
    "weaviate": ("weaviate", "demo", "check"),
}

HEAVY = {"torch", "transformers", "sentence_transformers", "grpc", "starlette", "uvicorn", "weaviate", "numpy"}


def sources() -> dict[str, Path]:
    """Every module of the package by its dotted name below it; generated ones left out."""
    paths = (path for path in PACKAGE.rglob("*.py") if "_pb2" not in path.name)
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, inside functions and for type checking too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def root(name: str) -> str:
    return name.split(".")[0]


def within(name: str, part: str) -> bool:
    """Whether a module is a part of the package, inside it, or beside it with a longer name (`rpc_health`)."""
    return name == part or name.startswith((f"{part}.", f"{part}_"))


def layer(name: str) -> int:
    """The highest layer that a module belongs to, counted from the top."""
    for index, parts in enumerate(LAYERS):
        if any(within(name, part) for part in parts):
            return index
    raise AssertionError(f"{name} belongs to no layer; name it in LAYERS")


@pytest.mark.parametrize("name", sorted(sources().keys() - {"__init__"}))
def test_imports_go_down(name: str) -> None:
    ours = [target for target in imported(sources()[name]) if root(target) == "weaviate_prism"]
    below = {target.removeprefix("weaviate_prism.") for target in ours} - {"__version__"}
    upward = {target for target in below if layer(target) < layer(name)}
    assert not upward


@pytest.mark.parametrize("library", OWNERS)
def test_library_is_imported_only_by_its_owners(library: str) -> None:
    users = {name for name, path in sources().items() if library in {root(target) for target in imported(path)}}
    assert not {name for name in users if not any(within(name, owner) for owner in OWNERS[library])}


def modules_after(code: str) -> set[str]:
    """What is imported in a fresh interpreter by some code that may exit."""
    report = "\nfinally:\n print(*sorted(sys.modules), file=sys.stderr)"
    script = f"import sys\ntry:\n {code}{report}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_importing_the_package_imports_nothing_else() -> None:
    assert modules_after("import weaviate_prism") - modules_after("pass") == {"weaviate_prism"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["serve", "--help"], ["models"], ["weaviate", "build", "--help"], ["check", "--help"]],
)
def test_help_and_version_do_not_load_models_or_servers(arguments: list[str]) -> None:
    loaded = modules_after(f"from weaviate_prism import cli; cli.main({arguments})")
    assert "weaviate_prism.cli" in loaded
    assert not HEAVY & loaded


def test_the_client_needs_nothing_that_a_service_needs() -> None:
    """It is used where no models are; Pillow comes with the first picture."""
    loaded = {
        root(name) for name in modules_after("import weaviate_prism.client") - modules_after("import grpc, numpy")
    }
    assert loaded - sys.stdlib_module_names == {"weaviate_prism", "google", "grpc", "numpy"}
