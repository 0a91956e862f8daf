"""Stand-ins for published models, each made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stand_ins import StandIn
from weaviate_prism.values import Video


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[StandIn], Path]:
    """Makes each directory once."""
    directories: dict[StandIn, Path] = {}

    def make(stand_in: StandIn) -> Path:
        if stand_in not in directories:
            directories[stand_in] = stand_in.make(tmp_path_factory.mktemp("stand-in"))
        return directories[stand_in]

    return make


@pytest.fixture(scope="session")
def clip() -> Video:
    pytest.importorskip("torchcodec", reason="torchcodec is not installed, so clips can be neither made nor read")
    from weaviate_prism.bundled.drawing import clip_mp4
    from weaviate_prism.bundled.scenes import make_scenes

    (scene,) = make_scenes(1, seed=3, kinds=("clip",))
    return Video(clip_mp4(scene))
