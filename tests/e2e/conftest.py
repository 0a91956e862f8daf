from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.gallery import Gallery
from objects import import_all, named, scene_objects
from servers import BUNDLED, SLOW_FAKE, Stack, stack

GALLERY_SIZE = 60


@pytest.fixture(scope="package")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Weaviate and Prism with the bundled models and default settings."""
    with stack(tmp_path_factory.mktemp("bundled"), *BUNDLED) as running:
        yield running


@pytest.fixture(scope="package")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Weaviate and Prism with fake models, where documents that cannot be scored are ranked last."""
    with stack(tmp_path_factory.mktemp("fake"), *SLOW_FAKE, "--rerank-bad-document", "last") as running:
        yield running


@pytest.fixture(scope="package")
def gallery(bundled: Stack) -> Gallery:
    """Read by tests, and changed by none."""
    objects = scene_objects(GALLERY_SIZE, seed=2)
    collection = named(bundled.client, "Gallery")
    assert import_all(collection, objects) == {}
    return Gallery(bundled, collection, {each.uuid: each for each in objects})
