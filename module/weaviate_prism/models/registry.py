"""From a name in the settings to a loaded model. Model families are imported when they are asked for."""

from __future__ import annotations

import logging
import time
from typing import TypeAlias

from weaviate_prism.config import Settings
from weaviate_prism.models.base import Embedder, ModelError, Reranker
from weaviate_prism.profiles import EMBEDDER, ModelSpec, is_fake

log = logging.getLogger(__name__)

Loaded: TypeAlias = Embedder | Reranker


def load_model(spec: ModelSpec, settings: Settings) -> Loaded:
    """Loads it; takes seconds to minutes.

    Raises:
        ModelError: it cannot be loaded, or would silently compute something else than its authors meant.
    """
    if is_fake(spec.source) and (spec.min_pixels or spec.max_pixels):
        raise ModelError("fake: its pictures have no min_pixels and max_pixels")
    started = time.monotonic()
    model = load_embedder(spec, settings) if spec.kind == EMBEDDER else load_reranker(spec, settings)
    info, seconds = model.info, time.monotonic() - started
    revision = info.revision or "no revision"
    way = f"in {info.dtype} the {info.tier} way"
    log.info("%s %s (%s) on %s %s, %.1f s", info.kind, info.name, revision, info.device, way, seconds)
    return model


def load_embedder(spec: ModelSpec, settings: Settings) -> Embedder:
    if is_fake(spec.source):
        from weaviate_prism.models.fake import FakeCost, FakeEmbedder

        return FakeEmbedder(FakeCost.parse(spec.source))
    from weaviate_prism.models.embedder import load

    return load(spec, settings)


def load_reranker(spec: ModelSpec, settings: Settings) -> Reranker:
    if is_fake(spec.source):
        from weaviate_prism.models.fake import FakeCost, FakeReranker

        return FakeReranker(FakeCost.parse(spec.source))
    from weaviate_prism.models.reranker import load

    return load(spec, settings)
