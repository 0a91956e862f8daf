"""Python code of a model's repository runs where the operator named repository and version, and nowhere else."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines import running
from stand_ins import cached
from tiny import remote
from weaviate_prism.errors import PrismError
from weaviate_prism.models import loading
from weaviate_prism.v1 import prism_pb2
from weaviate_prism.values import Item, Priority, Target, Task, Text

COMMIT, OTHER = "1" * 40, "2" * 40
HUB = "someone/tiny-ranker"
CURE = f"set --reranker-revision {COMMIT} --trust-remote-code {HUB}@{COMMIT}"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remote.nemotron_reranker(tmp_path_factory.mktemp("own-code"))


@pytest.fixture
def renamed(directory: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy whose name no other test has, so that its modules tell whether its code has run."""
    return lambda name: Path(shutil.copytree(directory, tmp_path / name))


@pytest.fixture
def hub(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with one commit of the model, which is its main branch."""
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    return Path(shutil.copytree(directory, cached(tmp_path, HUB, COMMIT)))


async def reason(model: str, trusted: str, revision: str = "") -> str:
    """Why the model is refused; empty where it scores."""
    settings = {"embedder": "none", "reranker": model, "reranker_revision": revision, "device": "cpu"}
    async with running(**settings, trust_remote_code=(trusted,) if trusted else ()) as engine:
        deadline = time.monotonic() + 60
        try:
            await engine.rerank(Item((Text("red"),)), [Item((Text("a bicycle"),))], deadline=deadline)
        except PrismError:
            return await engine.failed()
    return ""


def code_ran(name: str) -> bool:
    return any(name.replace("-", "_hyphen_") in module for module in sys.modules)


async def test_a_directory_is_refused_by_name_until_the_operator_names_it(renamed: Callable[[str], Path]) -> None:
    model = renamed("refused-model")
    refusal = await reason(str(model), trusted="")
    wanted = f"refused-model@{loading.fingerprint(model)}"
    assert "refused-model: needs Python code of its own" in refusal
    assert refusal.endswith(f"set --trust-remote-code {wanted}")
    assert not code_ran("refused-model")
    assert await reason(str(model), trusted=wanted) == ""
    assert code_ran("refused-model")


async def test_changed_code_is_not_the_code_that_was_trusted(renamed: Callable[[str], Path]) -> None:
    model = renamed("changed-model")
    read = f"changed-model@{loading.fingerprint(model)}"
    code = model / "nemotron.py"
    code.write_text(code.read_text() + "\n")
    assert "needs Python code of its own" in await reason(str(model), trusted=read)
    assert not code_ran("changed-model")


@pytest.mark.parametrize(
    ("trusted", "revision", "refusal"),
    [
        (f"{HUB}@{COMMIT}", COMMIT, ""),
        (f"{HUB}@{COMMIT}", "", ""),
        ("", COMMIT, CURE),
        ("", "", CURE),
        (f"{HUB}@{OTHER}", COMMIT, CURE),
        (f"{HUB}@{OTHER}", "", CURE),  # the branch has moved since
        (f"someone/else@{COMMIT}", COMMIT, CURE),
    ],
)
async def test_a_model_of_the_hub_runs_code_of_the_named_commit_only(
    hub: Path, trusted: str, revision: str, refusal: str
) -> None:
    given = await reason(HUB, trusted, revision)
    assert refusal in given
    assert bool(given) == bool(refusal)


@pytest.mark.parametrize("elsewhere", ["someone/else", "else", "/tmp/else"])
async def test_code_that_a_trusted_model_takes_from_elsewhere_is_refused(
    elsewhere: str, renamed: Callable[[str], Path]
) -> None:
    model = renamed("elsewhere-model")
    file = model / "config.json"
    config = json.loads(file.read_text())
    config["auto_map"] = {key: f"{elsewhere}--{value}" for key, value in config["auto_map"].items()}
    file.write_text(json.dumps(config))
    refusal = await reason(str(model), trusted=f"elsewhere-model@{loading.fingerprint(model)}")
    assert f"config.json names code of {elsewhere}," in refusal
    assert not code_ran("elsewhere-model")


def test_a_request_has_no_word_for_it() -> None:
    messages = prism_pb2.DESCRIPTOR.message_types_by_name.values()
    fields = {field.name for message in messages for field in message.fields}
    assert "model" in fields
    assert not {name for name in fields if name.startswith(("trust", "remote", "path", "url"))}


async def test_a_request_that_names_a_repository_loads_nothing(renamed: Callable[[str], Path]) -> None:
    model = renamed("asked-for-model")
    async with running() as engine:
        for name in (str(model), model.name, f"{model.name}@{loading.fingerprint(model)}"):
            with pytest.raises(PrismError, match="model"):
                await engine.vectorize(
                    [Item((Text("red"),))],
                    task=Task.QUERY,
                    targets=(Target(model=name),),
                    priority=Priority.QUERY,
                    deadline=time.monotonic() + 60,
                )
    assert not code_ran("asked-for-model")
