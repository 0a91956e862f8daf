from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.native.starting import Starting
from servers import BUNDLED, FAKE, Prism, Stack, native_stack
from weaviate_prism.weaviate.binary import WeaviateError, find_go
from weaviate_prism.weaviate.native import ensure_native


@pytest.fixture(scope="package", autouse=True)
def binary() -> Path:
    """Weaviate with the native modules; all tests here are skipped where it can be neither found nor built."""
    try:
        return ensure_native()
    except WeaviateError as error:
        try:
            find_go()
        except WeaviateError:
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="package", autouse=True)
def abandoned(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starting]:
    """A Weaviate without a Prism, which gives up after its own 120 s while other tests run."""
    with Starting(binary, tmp_path_factory.mktemp("abandoned")) as starting:
        yield starting


@pytest.fixture(scope="package")
def bundled(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Prism with the bundled models, and the native Weaviate."""
    with native_stack(tmp_path_factory.mktemp("bundled"), Prism(*BUNDLED)) as running:
        yield running


@pytest.fixture(scope="package")
def fake(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Prism with fake models, and the native Weaviate."""
    with native_stack(tmp_path_factory.mktemp("fake"), Prism(*FAKE)) as running:
        yield running
