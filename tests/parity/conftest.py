"""Stand-ins for published models, each made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stand_ins import StandIn


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[StandIn], Path]:
    """Makes each directory once."""
    directories: dict[StandIn, Path] = {}

    def make(stand_in: StandIn) -> Path:
        if stand_in not in directories:
            directories[stand_in] = stand_in.make(tmp_path_factory.mktemp("stand-in"))
        return directories[stand_in]

    return make
