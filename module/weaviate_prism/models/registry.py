"""From a name in the settings to a loaded model. Model families are imported when they are asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from weaviate_prism.config import Settings
from weaviate_prism.models.base import Embedder, Reranker

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Models:
    """What this process serves; at least one of both."""

    embedder: Embedder | None
    reranker: Reranker | None

    def by_kind(self) -> Iterator[tuple[str, Embedder | Reranker]]:
        for model in (self.embedder, self.reranker):
            if model is not None:
                yield model.info.kind, model


def load_models(settings: Settings) -> Models:
    """Loads what the settings name; takes seconds to minutes.

    Raises:
        ModelError: a model cannot be loaded, or would silently compute something else than its authors meant.
    """
    started = time.monotonic()
    models = Models(load_embedder(settings), load_reranker(settings))
    for kind, model in models.by_kind():
        info = model.info
        log.info("%s %s (%s) on %s in %s", kind, info.name, info.revision or "no revision", info.device, info.dtype)
    log.info("models loaded in %.1f s", time.monotonic() - started)
    return models


def load_embedder(settings: Settings) -> Embedder | None:
    name = settings.embedder
    if name == "none":
        return None
    if is_fake(name):
        from weaviate_prism.models.fake import FakeCost, FakeEmbedder

        return FakeEmbedder(FakeCost.parse(name))
    from weaviate_prism.models.embedder import load

    return load(settings)


def load_reranker(settings: Settings) -> Reranker | None:
    name = settings.reranker
    if name == "none":
        return None
    if is_fake(name):
        from weaviate_prism.models.fake import FakeCost, FakeReranker

        return FakeReranker(FakeCost.parse(name))
    from weaviate_prism.models.reranker import load

    return load(settings)


def is_fake(name: str) -> bool:
    return name == "fake" or name.startswith("fake:")
