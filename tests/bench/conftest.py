from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench import table
from servers import BUNDLED, Stack, stack
from weaviate_prism.cores import usable_cores
from weaviate_prism.models.threads import use_threads

ROWS = pytest.StashKey[list[dict[str, Any]]]()


@pytest.fixture(scope="package")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Weaviate and Prism with the bundled models and default settings."""
    with stack(tmp_path_factory.mktemp("bench"), *BUNDLED) as running:
        yield running


@pytest.fixture(autouse=True)
def all_cores() -> None:
    """What Prism is measured against has them all, whatever number its own functions set for this thread before."""
    use_threads(usable_cores())


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Prints one line of JSON with what was measured, and keeps it for the table at the end.

    `table.COLUMNS` say what is no figure: `what`, `model`, `dtype`, `tier`, `cache` in words, `ratio` and `wanted` as
    one number, or several by name. Nothing is asserted of what is wanted.
    """
    rows = request.config.stash.setdefault(ROWS, [])

    def add(**row: Any) -> None:
        rows.append({"bench": request.node.name.removeprefix("test_"), **row})
        print("\n" + table.line(rows[-1]), flush=True)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if rows := config.stash.get(ROWS, []):
        terminalreporter.write_line(table.line(table.environment()))
        terminalreporter.write_line(table.table(rows))
