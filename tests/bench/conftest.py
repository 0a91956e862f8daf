from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from servers import BUNDLED, Stack, stack


@pytest.fixture(scope="package")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Weaviate and Prism with the bundled models and default settings."""
    with stack(tmp_path_factory.mktemp("bench"), *BUNDLED) as running:
        yield running


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Prints one line of JSON with what the test measured."""

    def line(**figures: float) -> None:
        rounded = {name: round(figure, 3) for name, figure in figures.items()}
        print("\n" + json.dumps({"bench": request.node.name.removeprefix("test_"), **rounded}))

    return line
