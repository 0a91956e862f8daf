"""What a model will take is known before it is loaded, and refused where it is more than there is."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from stand_ins import cached
from tiny import towers
from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.models import memory
from weaviate_prism.models.base import NoRoomError
from weaviate_prism.models.device import on_device
from weaviate_prism.models.registry import load_model
from weaviate_prism.profiles import ModelSpec

GB = 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of 2,000 floats in two modules, and 10 integers."""
    (tmp_path / "1_Dense").mkdir()
    save_file({"a": torch.zeros(10, 100), "ids": torch.zeros(10, dtype=torch.int64)}, tmp_path / "model.safetensors")
    save_file({"b": torch.zeros(1000, dtype=torch.bfloat16)}, tmp_path / "1_Dense" / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(("dtype", "expected"), [(torch.float32, 8080), (torch.bfloat16, 4080)])
def test_weights_are_counted_as_they_will_be_loaded(folder: Path, dtype: torch.dtype, expected: int) -> None:
    assert memory.weight_bytes(str(folder), "", dtype) == expected


def test_weights_of_the_old_kind_are_counted_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(1234))
    assert memory.weight_bytes(str(tmp_path), "", torch.float32) == 1234


def test_a_model_of_the_hub_is_weighed_where_it_lies_else_by_what_the_hub_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "snapshot_download", lambda *_, **options: str(folder))
    assert memory.weight_bytes("owner/model", "abc", torch.float32) == 8080

    def absent(*_: object, **options: object) -> str:
        raise LocalEntryNotFoundError("not downloaded")

    asked = []

    def told(repository: str, **options: object) -> Any:
        asked.append((repository, options["revision"]))
        return SimpleNamespace(safetensors=SimpleNamespace(parameters={"BF16": 1000, "I64": 1}))

    monkeypatch.setattr(memory, "snapshot_download", absent)
    monkeypatch.setattr(memory, "model_info", told)
    assert memory.weight_bytes("owner/model", "abc", torch.float32) == 4008
    assert asked == [("owner/model", "abc")]
    monkeypatch.setattr(memory, "model_info", absent)
    assert memory.weight_bytes("owner/model", "abc", torch.float32) is None


def test_a_model_is_weighed_where_sentence_transformers_keeps_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = cached(tmp_path / "hub", "owner/model", "a" * 40)
    kept.parent.mkdir(parents=True)
    kept.symlink_to(folder)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(memory, "model_info", None)  # the hub is not asked
    assert memory.weight_bytes("owner/model", "a" * 40, torch.float32) == 8080


def test_what_is_free_is_the_machines_or_what_is_left_of_the_containers_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "meminfo": "MemTotal: 9 kB\nMemAvailable:    4000 kB\n",
        "memory.max": "1000000\n",
        "memory.current": "900000\n",
        "memory.stat": "anon 1\ninactive_file 400000\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_bytes("cpu") == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes("cpu") == 4_096_000
    (tmp_path / "meminfo").unlink()
    assert memory.free_bytes("cpu") is None


def test_what_torch_keeps_on_the_gpu_is_free_too(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"mem_get_info": (500, 1000), "memory_reserved": 300, "memory_allocated": 200}
    for name, figure in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda figure=figure: figure)
    assert memory.free_bytes("cuda") == 600


@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_a_model_that_does_not_fit_is_refused_by_name_with_both_figures(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2_000_000)
    spec = ModelSpec(kind, f"scenes-{kind}", dtype="float32")
    with pytest.raises(NoRoomError, match=rf"^scenes-{kind}: needs about \d+ MB; 2 MB are free in memory$") as refused:
        load_model(spec, Settings(device="cpu"))
    directory = bundled.EMBEDDER_DIR if kind == "embedder" else bundled.RERANKER_DIR
    on_disk = (directory / "model.safetensors").stat().st_size
    (needed,) = re.findall(r"about (\d+)", str(refused.value))
    assert int(needed) == pytest.approx(2 * 1.2 * on_disk / 1e6, abs=1)  # stored in half precision
    monkeypatch.setattr(memory, "free_bytes", lambda device: GB)
    assert load_model(spec, Settings(device="cpu")).info.kind == kind


def test_the_model_that_reads_pictures_for_another_needs_room_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = towers.multilingual_clip(tmp_path)
    free = iter([GB, 0])
    monkeypatch.setattr(memory, "free_bytes", lambda device: next(free))
    with pytest.raises(NoRoomError, match=r"^sentence-transformers/clip-ViT-B-32: needs about"):
        load_model(ModelSpec("embedder", str(directory)), Settings(device="cpu"))


def test_a_model_of_unknown_size_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: None)
    memory.check_room("model", str(bundled.EMBEDDER_DIR), "", torch.float32, "cpu")


def test_a_batch_that_the_memory_of_the_cpu_does_not_hold_may_be_halved() -> None:
    with pytest.raises(MemoryError), on_device("cpu", 1):
        torch.empty(1 << 60)
