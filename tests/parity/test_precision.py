"""`dtype = auto` takes bfloat16 where the CPU is fast at it, and only after answers as in float32."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny import qwen_vl, texts, towers
from weaviate_prism import bundled
from weaviate_prism.config import Dtype, Settings
from weaviate_prism.engine import Engine
from weaviate_prism.models import memory, precision, tiers
from weaviate_prism.models.qwen_vl import QwenVL
from weaviate_prism.models.registry import Loaded, load_model
from weaviate_prism.models.standard import Standard
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import ModelInfo

pytestmark = pytest.mark.filterwarnings(r"ignore:unclosed file .*reranker\.jinja:ResourceWarning")

SOURCES = {"embedder": "scenes-embedder"}
KINDS = "embedder", "reranker"
NONE = np.zeros(0, dtype=np.float32)
AMX = "processor\t: 0\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n"


@pytest.fixture(scope="module", autouse=True)
def reranker(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One whose scores are as near as wanted; the bundled one's are 0.05 off where it is not sure."""
    SOURCES["reranker"] = str(qwen_vl.reranker(tmp_path_factory.mktemp("models")))


def load(kind: str, dtype: Dtype = "auto", *, logits: bool = False) -> Loaded:
    return load_model(ModelSpec(kind, SOURCES[kind], dtype=dtype), Settings(device="cpu", rerank_logits=logits))


def outcome(info: ModelInfo) -> tuple[str, str]:
    return info.dtype, info.tier


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the system tells of a CPU that computes bfloat16; it does so in these tests all the same, slowly."""
    path = tmp_path / "cpuinfo"
    path.write_text(AMX)
    monkeypatch.setattr(precision, "CPUINFO", path)
    return path


@pytest.mark.parametrize(
    ("told", "fast"),
    [
        (AMX, True),
        ("flags : fpu avx512f avx512_bf16\n", True),
        ("flags : fpu avx512f avx512_fp16\nbugs : amx_bf16\n", False),
        ("Features : fp asimd bf16\n", False),
    ],
)
def test_a_cpu_is_fast_at_bfloat16_if_it_has_instructions_for_it(cpu: Path, told: str, fast: bool) -> None:
    cpu.write_text(told)
    assert precision.is_fast("cpu") is fast


class Card:
    """What torch tells of a GPU."""

    def __init__(self, major: int) -> None:
        self.major = major


@pytest.mark.parametrize(("major", "fast"), [(7, False), (8, True), (9, True)])
def test_a_gpu_is_fast_at_bfloat16_if_it_does_not_emulate_it(
    monkeypatch: pytest.MonkeyPatch, major: int, fast: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card(major))
    monkeypatch.setattr(torch, "tensor", lambda *_, **__: None)  # that emulates it
    assert precision.is_fast("cuda") is fast


def test_a_system_that_does_not_tell_stays_with_float32(cpu: Path) -> None:
    cpu.unlink()
    assert load("embedder").info.dtype == "float32"


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_taken_with_the_figure_that_it_proved(
    cpu: Path, caplog: pytest.LogCaptureFixture, kind: str, logits: bool
) -> None:
    caplog.set_level(logging.INFO)
    model = load(kind, logits=logits)
    assert outcome(model.info) == ("bfloat16", QwenVL.name)
    figure = {"embedder": "against float32 the lowest cosine is 0.99", "reranker": "against float32 answers differ by"}
    assert model.info.dtype_note.startswith(figure[kind])
    assert figure[kind] in caplog.text
    assert model.info.refused_tiers == ()


@pytest.mark.parametrize(("limit", "kind"), [("CLOSE_COSINE", "embedder"), ("CLOSE_SCORE", "reranker")])
def test_where_it_is_too_coarse_auto_means_float32(
    cpu: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: str, kind: str
) -> None:
    monkeypatch.setattr(tiers, limit, 1 - 1e-9 if kind == "embedder" else 1e-9)
    model = load(kind)
    assert outcome(model.info) == ("float32", QwenVL.name)
    assert model.info.dtype_note.startswith("bfloat16 is not proved: against float32 ")
    assert "bfloat16 is not proved, and torch.float32 is taken" in caplog.text
    assert model.info.refused_tiers == ()


def test_who_asks_for_bfloat16_gets_it_even_where_it_is_too_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "CLOSE_COSINE", 1 - 1e-9)
    info = load("embedder", "bfloat16").info
    assert info.dtype == "bfloat16"
    assert info.dtype_note.startswith("bfloat16 is not proved: against float32 the lowest cosine is")


def test_who_asks_for_bfloat16_keeps_the_fast_way_if_it_is_no_coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "CLOSE_SCORE", 1e-6)
    info = load("reranker", "bfloat16").info
    assert outcome(info) == ("bfloat16", QwenVL.name)
    assert info.dtype_note.startswith("bfloat16 is not proved: against float32 answers differ by")
    monkeypatch.setattr(tiers, "HARDLY_WORSE", 1e-3)
    info = load("reranker", "bfloat16").info
    assert (outcome(info), info.refused_tiers) == (("bfloat16", Standard.name), (QwenVL.name,))
    assert info.dtype_note.startswith("bfloat16 is not proved: against float32 answers differ by")


def test_why_auto_stays_with_float32_is_told(cpu: Path) -> None:
    cpu.write_text("flags : fpu avx512f\n")
    assert load("embedder").info.dtype_note == "this CPU has neither AMX-BF16 nor AVX512-BF16"
    assert load("embedder", "float32").info.dtype_note == ""


def test_what_is_told_of_a_gpu_is_not_about_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "is_fast", lambda device: False)
    model = load("embedder", "float32")
    found = precision.in_precision("auto", "cuda", "name", lambda _: model, lambda same, *_: same, lambda _: NONE)
    assert found.info.dtype_note == "this GPU only emulates bfloat16"


def test_without_room_for_float32_bfloat16_is_not_proved(
    cpu: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needed = memory.weight_bytes(str(bundled.EMBEDDER_DIR), "", torch.bfloat16) or 0
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(needed * 1.5))
    model = load("embedder")
    assert outcome(model.info) == ("bfloat16", QwenVL.name)
    assert model.info.dtype_note.startswith("bfloat16 is not proved: there is no room for float32")
    assert "torch.bfloat16 is taken" in caplog.text


def test_a_way_is_compared_with_float32_rather_than_with_another_rounding(
    cpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standard way has its logits in 8 bits; here it is too far off, and the faster one is not."""
    forward = Standard.forward

    def rough(self: Standard, batch: object) -> torch.Tensor:
        answers = forward(self, batch)  # type: ignore[arg-type]
        return answers + 1 if answers.dtype == torch.bfloat16 else answers

    monkeypatch.setattr(Standard, "forward", rough)
    assert outcome(load("reranker").info) == ("bfloat16", QwenVL.name)


MADE = [("embedder", towers.clip), ("embedder", texts.text_embedder), ("embedder", qwen_vl.embedder)]
MADE += [("reranker", texts.cross_encoder), ("reranker", qwen_vl.reranker)]


@pytest.mark.parametrize(("kind", "make"), MADE)
def test_models_of_every_kind_are_compared_by_what_they_read(
    cpu: Path, tmp_path: Path, kind: str, make: Callable[[Path], Path]
) -> None:
    model = load_model(ModelSpec(kind, str(make(tmp_path))), Settings(device="cpu"))
    assert "against float32" in model.info.dtype_note
    assert (model.info.dtype == "bfloat16") is not ("not proved" in model.info.dtype_note)


async def test_vectors_of_both_precisions_are_told_apart(cpu: Path) -> None:
    engine = Engine(Settings(device="cpu", reranker="none"))
    await engine.start()
    (info,) = engine.info().models
    engine.close()
    assert info.dtype == "bfloat16"
    assert info.dtype_note
    rough, exact = load("embedder"), load("embedder", "float32")
    assert rough.identity != exact.identity  # type: ignore[union-attr]
    assert rough.eyes != exact.eyes


def test_answers_that_are_no_numbers_prove_nothing() -> None:
    info = load("embedder", "float32").info
    vectors = np.full((1, 4), np.nan, dtype=np.float32)
    assert not tiers.distance(vectors, vectors, info).within
