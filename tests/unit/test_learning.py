"""What the devices of loaded models know: a model's pace, learnt while it is loaded, and each other."""

from __future__ import annotations

import time

import pytest

from engines import running
from weaviate_prism.models.base import Prepared
from weaviate_prism.scheduling.jobs import ticket
from weaviate_prism.values import Priority


@pytest.mark.parametrize(("kind", "fake"), [("embedder", "fake:40,0"), ("reranker", "fake:40,0")])
async def test_a_loaded_model_has_a_pace(kind: str, fake: str) -> None:
    async with running(**{"embedder": "none", "reranker": "none", kind: fake}) as engine:
        (device,) = engine._stages._devices.values()
        assert device.pace.seconds((1, 10, 0)) == pytest.approx(0.04, rel=0.5)
        assert device.pace.fixed == pytest.approx(0.04, rel=0.5)
        assert device.seconds([Prepared({}, 5)]) < 0.02


async def test_what_the_device_has_done_is_left_no_more() -> None:
    async with running(embedder="none", reranker="fake:1,20") as engine:
        (model,) = engine._stages._devices
        turn = ticket(Priority.QUERY, time.monotonic() + 30)
        with engine._stages.backlog.entered(["text"] * 4, turn) as entry:
            left = []
            for _ in range(2):
                await engine._stages.on_device_together(
                    model, [Prepared({"asked": {"a"}, "words": ["a"]}, 1)] * 2, turn, entry.unit(["text"] * 2)
                )
                left.append(turn.work.seconds)
    assert left == pytest.approx([0, 0], abs=1e-6)


async def test_tokens_and_padding_are_counted() -> None:
    async with running(reranker="none") as engine:
        read = engine.metrics.registry.get_sample_value
        assert (read("prism_tokens_total", {"model": "fake", "of": "input"}) or 0) > 0
        assert read("prism_tokens_total", {"model": "fake", "of": "padding"}) == 0


async def test_models_of_one_device_know_of_each_others_queries() -> None:
    async with running() as engine:
        embedder, reranker = engine._stages._devices.values()
        assert embedder.stage._queries is reranker.stage._queries is not engine._stages.cpu._queries
