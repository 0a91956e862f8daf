"""Models behind profiles, on fakes: loaded once, at the start or when asked for, and who pays for one that does not."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.running import WAIT
from engines import running
from weaviate_prism import catalog
from weaviate_prism.config import Settings
from weaviate_prism.engine import Engine
from weaviate_prism.errors import DeadlineExceeded, Internal, InvalidInput, NotFound, PrismError, Unavailable
from weaviate_prism.models.base import ModelError, NoRoomError
from weaviate_prism.models.registry import Loaded, load_model
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Item, Priority, Target, Task, Text, Vector

LAZY = """
[profiles.quick]
embedder = "fake"
[profiles.lazy]
embedder = "fake:1,0"
preload = false
[profiles.also-lazy]
embedder = "fake:1,0"
dimensions = 8
preload = false
[profiles.wrong]
embedder = "fake:1,0"
dimensions = 33
preload = false
[profiles.judge]
reranker = "fake:2,0"
preload = false
"""
PROMPTS = """
[profiles.plain]
embedder = "fake"
[profiles.same]
embedder = "fake"
dimensions = 8
fusion = "joint"
[profiles.asked]
embedder = "fake"
query_prompt = "Find it."
[profiles.told]
embedder = "fake"
instruction = "Find it."
[profiles.fewer]
embedder = "fake"
video_frames = 4
"""
MODEL = ModelSpec("embedder", "fake:1,0")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prism.toml"
    path.write_text(LAZY)
    path.with_name("prompts.toml").write_text(PROMPTS)
    return path


@pytest.fixture
def lazy(file: Path) -> dict[str, Any]:
    return {"config": str(file), "embedder": "", "reranker": ""}


class Loads:
    """Which models are loaded, in their order; one waits until it may go on, then fails if it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    def load(self, spec: ModelSpec, settings: Settings) -> Loaded:
        self.begun.append(spec.source)
        if spec.source != "fake":
            assert self.may_go_on.wait(WAIT)
            if self.error:
                raise self.error
        return load_model(spec, settings)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loads]:
    loads = Loads()
    monkeypatch.setattr(catalog, "load_model", loads.load)
    yield loads
    loads.may_go_on.set()


async def vectorize(
    engine: Engine, *models: str, seconds: float = 30.0, task: Task = Task.QUERY, text: str = "red"
) -> list[Vector | PrismError]:
    results = await engine.vectorize(
        [Item((Text(text),))],
        task=task,
        targets=[Target(model=model) for model in models],
        priority=Priority.QUERY,
        deadline=time.monotonic() + seconds,
    )
    return [result for (result,) in results]


async def rerank(engine: Engine, model: str) -> list[float | PrismError]:
    text = Item((Text("red"),))
    return await engine.rerank(text, [text], model=model, deadline=time.monotonic() + 30)


async def test_a_model_is_loaded_once_however_many_profiles_use_it_and_when_it_is_first_asked_for(
    lazy: dict[str, Any], loads: Loads
) -> None:
    async with running(**lazy) as engine:
        assert engine.ready()
        assert loads.begun == ["fake"]
        answers = await asyncio.gather(*(vectorize(engine, model) for model in ("lazy", "also-lazy", "lazy")))
        assert [len(vector) for (vector,) in answers if isinstance(vector, np.ndarray)] == [32, 8, 32]
        assert await rerank(engine, "") == [1.0]
        assert loads.begun == ["fake", "fake:1,0", "fake:2,0"]


async def test_only_those_who_ask_for_a_model_wait_until_it_is_loaded_as_long_as_they_can(
    lazy: dict[str, Any], loads: Loads
) -> None:
    async with running(**lazy) as engine:
        loads.may_go_on.clear()
        waiting = asyncio.ensure_future(vectorize(engine, "lazy"))
        with pytest.raises(DeadlineExceeded, match=r"targets\[1\]: .*'also-lazy' was loaded"):
            await vectorize(engine, "quick", "also-lazy", seconds=0.05)
        assert engine.loading()
        (vector,) = await vectorize(engine, "quick")
        assert isinstance(vector, np.ndarray)
        assert {each.name: each.loaded for each in engine.info().profiles}["lazy"] is False
        assert not waiting.done()
        loads.may_go_on.set()
        assert isinstance((await waiting)[0], np.ndarray)
        assert not engine.loading()
        assert {each.name: each.loaded for each in engine.info().profiles} == {
            "quick": True, "lazy": True, "also-lazy": True, "wrong": True, "judge": False,
        }  # fmt: skip
        assert loads.begun == ["fake", "fake:1,0"]


async def test_a_model_that_cannot_be_loaded_fails_those_who_ask_for_it_and_is_tried_again_later(
    lazy: dict[str, Any], loads: Loads, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads.error = ModelError("/secret/path: is broken")
    async with running(**lazy) as engine:
        for name in ("lazy", "also-lazy", "lazy"):
            with pytest.raises(
                Internal, match=rf"targets\[0\]: profile '{name}': its model cannot be loaded"
            ) as failed:
                await vectorize(engine, name)
            assert "secret" not in failed.value.message
        assert loads.begun == ["fake", "fake:1,0"]
        assert "/secret/path: is broken" in caplog.text
        assert engine.ready()
        assert isinstance((await vectorize(engine, "quick"))[0], np.ndarray)
        loads.error = None
        monkeypatch.setattr(engine._catalog, "_failed", {MODEL: (time.monotonic(), Internal("the time is over"))})
        assert isinstance((await vectorize(engine, "lazy"))[0], np.ndarray)


async def test_a_model_that_there_is_no_room_for_is_refused_with_the_figures(
    lazy: dict[str, Any], loads: Loads
) -> None:
    loads.error = NoRoomError("fake: needs about 5,000 MB; 3,000 MB are free in memory")
    async with running(**lazy) as engine:
        with pytest.raises(Internal, match=r"profile 'lazy': .* 5,000 MB; 3,000 MB are free"):
            await vectorize(engine, "lazy")


async def test_a_model_that_cannot_answer_is_not_there(lazy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(**lazy) as engine:
        monkeypatch.setattr(catalog, "samples", lambda model: [None])  # its thread stumbles over that
        with pytest.raises(Internal, match="cannot be loaded"):
            await vectorize(engine, "lazy")
        labels = {"kind": "embedder", "name": "fake (lazy)", "tier": "standard"}
        assert engine.metrics.registry.get_sample_value("prism_model_info", labels) is None
        assert [model.kind for model in engine.info().models] == ["embedder"]


async def test_options_that_the_model_cannot_honour_are_named_when_they_are_asked_for(lazy: dict[str, Any]) -> None:
    async with running(**lazy) as engine:
        with pytest.raises(InvalidInput, match=r"targets\[0\]: dimensions: 33 are more than the 32 of fake"):
            await vectorize(engine, "wrong")


@pytest.fixture
def eager(file: Path, lazy: dict[str, Any]) -> dict[str, Any]:
    file.write_text(LAZY.replace("preload = false", ""))
    return lazy


async def test_options_that_a_model_cannot_honour_end_the_start(eager: dict[str, Any]) -> None:
    async with running(**eager) as engine:
        assert not engine.ready()
        assert "profile 'wrong': dimensions: 33 are more than the 32 of fake" in await engine.failed()


async def test_names_are_checked_before_any_model_is_loaded(lazy: dict[str, Any], loads: Loads) -> None:
    async with running(**lazy) as engine:
        with pytest.raises(NotFound, match=r"targets\[1\]: model 'other' is not known"):
            await vectorize(engine, "lazy", "other")
        with pytest.raises(InvalidInput, match="'judge' is no embedder"):
            await vectorize(engine, "judge")
        with pytest.raises(InvalidInput, match="'quick' is no reranker"):
            await rerank(engine, "quick")
        assert loads.begun == ["fake"]


async def test_every_model_has_a_thread_and_metrics_of_its_own(
    lazy: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with running(**lazy) as engine:
            assert "profile quick: embedder fake" in caplog.messages
            assert "profile lazy: embedder fake (lazy), loaded when it is first asked for" in caplog.messages
            await vectorize(engine, "quick", "lazy")
            threads = {thread.name for thread in threading.enumerate()}
            assert {"prism-embedder-fake-0", "prism-embedder-fake (lazy)-0"} <= threads
            value = engine.metrics.registry.get_sample_value
            for label in ("fake", "fake (lazy)"):
                assert value("prism_model_info", {"kind": "embedder", "name": label, "tier": "standard"}) == 1
                assert value("prism_stage_seconds_count", {"stage": "embedder", "model": label})


async def test_profiles_share_cached_vectors_just_where_they_ask_the_model_the_same(
    lazy: dict[str, Any], file: Path
) -> None:
    async with running(**{**lazy, "config": str(file.with_name("prompts.toml"))}) as engine:

        async def missed(task: Task, *models: str) -> float:
            """How many vectors are computed for a new text when it is asked of these profiles, one after the other."""
            before = engine.metrics.registry.get_sample_value("prism_cache_total", {"outcome": "miss"}) or 0.0
            for model in models:
                await vectorize(engine, model, task=task, text=f"{task} {models}")
            return (engine.metrics.registry.get_sample_value("prism_cache_total", {"outcome": "miss"}) or 0.0) - before

        assert await missed(Task.QUERY, "plain", "same") == 1
        assert await missed(Task.QUERY, "asked", "told") == 1
        assert await missed(Task.DOCUMENT, "plain", "asked") == 1
        assert await missed(Task.QUERY, "plain", "asked") == 2
        assert await missed(Task.DOCUMENT, "asked", "told") == 2
        assert await missed(Task.DOCUMENT, "plain", "fewer") == 2


async def test_closing_ends_who_waits_for_a_model(lazy: dict[str, Any], loads: Loads) -> None:
    async with running(**lazy) as engine:
        loads.may_go_on.clear()
        waiting = asyncio.ensure_future(vectorize(engine, "lazy"))
        with pytest.raises(DeadlineExceeded):
            await vectorize(engine, "lazy", seconds=0.01)
    with pytest.raises(Unavailable, match="shutting down"):
        await waiting
    assert engine.loading()  # its thread cannot be stopped
    loads.may_go_on.set()


@pytest.mark.parametrize(("kind", "other"), [("embedder", "reranker"), ("reranker", "embedder")])
async def test_a_model_of_the_other_kind_is_refused_by_name(tmp_path: Path, kind: str, other: str) -> None:
    file = tmp_path / "prism.toml"
    file.write_text(f'[profiles.films]\n{kind} = "scenes-{other}"\n')
    engine = Engine(Settings(config=str(file), embedder="", reranker="", device="cpu"))
    await engine.start()
    reason = f"profile 'films': scenes-{other}: is no {kind}; write it as the {other}"
    assert await engine.failed() == f"the models could not be loaded: {reason}"
    engine.close()
