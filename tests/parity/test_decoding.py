"""Decoded as fast as may be: no less than the processor reads, told of every model, and never taken for exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessor, SiglipImageProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from engines import running
from media import corners, encoded
from tiers import loaded_the_standard_way
from weaviate_prism.models.base import WantedSize
from weaviate_prism.models.wanted import wanted_size
from weaviate_prism.values import EngineInfo, Image, Item, Priority, Task

SIZES = [(4000, 3000), (640, 480), (480, 641), (50, 41), (1, 1), (3000, 20)]
FOREVER = 1e9


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("processor", [CLIPImageProcessor(), SiglipImageProcessor()])
def test_wanted_is_what_the_processor_resizes_to(processor: Any, size: tuple[int, int]) -> None:
    width, height = size
    resized = processor.resize(torch.zeros(1, 3, height, width, dtype=torch.uint8), processor.size, processor.resample)
    np.testing.assert_allclose(wanted_size(processor, width, height), resized.shape[:1:-1], atol=1)


@pytest.mark.parametrize("size", SIZES)
def test_wanted_of_qwen_vl_is_what_its_processor_resizes_to(size: tuple[int, int]) -> None:
    processor: Any = Qwen2VLImageProcessor(patch_size=16, merge_size=2)
    width, height = size
    resized = processor.resize(
        torch.zeros(1, 3, height, width, dtype=torch.uint8), processor.size, processor.resample, factor=32
    )
    assert wanted_size(processor, width, height) == tuple(resized.shape[:1:-1])


def test_nothing_less_is_wanted_where_the_processor_does_something_else() -> None:
    assert wanted_size(CLIPImageProcessor(do_resize=False), 4000, 3000) == (4000, 3000)
    assert wanted_size(CLIPImageProcessor(size={"longest_edge": 99}), 4000, 3000) == (4000, 3000)
    too_narrow = (9000, 20)
    assert wanted_size(Qwen2VLImageProcessor(), *too_narrow) == too_narrow


class Decoded:
    """What an engine says of its models and makes of a picture."""

    def __init__(self, info: EngineInfo, identity: str, eyes: str, wanted: WantedSize | None, vector: Any) -> None:
        self.modes = {model.decode for model in info.models}
        self.identity, self.eyes, self.wanted, self.vector = identity, eyes, wanted, vector


async def decoded(decode: str) -> Decoded:
    picture = Item((Image(encoded(corners(1600, 1200), "JPEG")),))
    async with running(embedder="scenes-embedder", reranker="scenes-reranker", decode=decode) as engine:
        [[vector]] = await engine.vectorize([picture], task=Task.DOCUMENT, priority=Priority.BULK, deadline=FOREVER)
        embedder = await engine._catalog.embedder(engine.profiles.find(""), FOREVER)
        return Decoded(engine.info(), embedder.identity, embedder.eyes, embedder.wanted_size, vector)


async def test_fast_decoding_shows_in_every_key_and_hardly_in_the_vector() -> None:
    exact, fast = await decoded("exact"), await decoded("fast")
    assert (exact.modes, fast.modes) == ({"exact"}, {"fast"})
    assert exact.wanted is None
    assert exact.identity != fast.identity
    assert exact.eyes != fast.eyes
    assert not np.array_equal(exact.vector, fast.vector)
    assert exact.vector @ fast.vector > 0.999


async def test_a_model_whose_processor_is_not_known_is_handed_every_pixel() -> None:
    with loaded_the_standard_way():
        fast = await decoded("fast")
    assert (fast.modes, fast.wanted) == ({"exact"}, None)
