"""What vision towers made of pictures and clips seen before, bounded by bytes.

A search is reranked page by page and asked again in other words, and its documents are the same: a picture that is
found here is neither decoded nor looked at again. Towers of equal weights share what they have seen, so that a
document may have been seen when it was inserted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from weaviate_prism.lru import LeastRecentlyUsed
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Content, Model, Patches, Reranker
from weaviate_prism.values import Digest, Modality

# A dict entry, its key, and a Patches with its tuples.
ENTRY_OVERHEAD = 1000


class VisionCache:
    """Thread-safe."""

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._patches: LeastRecentlyUsed[Patches] = LeastRecentlyUsed(max_bytes, metrics.vision_cache_bytes)
        self._hits, self._misses = map(metrics.vision_cache.labels, ("hit", "miss"))
        self._lock = threading.Lock()
        self._towers: set[str] = set()
        self._enabled = max_bytes > 0

    def serve(self, reranker: Reranker) -> None:
        """Keeps what its tower sees, whoever's tower it is besides.

        Of an embedder alone nothing is kept: what it reads again has its vector in the other cache, mostly.
        """
        if self._enabled and reranker.eyes:
            self._towers.add(reranker.eyes)

    def serves(self, model: Model) -> bool:
        """Whether what the model sees is kept."""
        return model.eyes in self._towers

    def modality(self, model: Model, digest: str, video_frames: int) -> Modality | None:
        """What is kept under this digest, if anything is, and is not dropped meanwhile."""
        return next((modality for modality in Modality if self.has(model, (modality, digest), video_frames)), None)

    def has(self, model: Model, digest: Digest | None, video_frames: int) -> bool:
        """Whether it is kept, if it is not dropped meanwhile."""
        with self._lock:
            return digest is not None and self._patches.get(_key(model, digest, video_frames)) is not None

    def content(self, model: Model, digest: Digest, video_frames: int, make: Callable[[], Content]) -> Content:
        """What `make` makes for a model that is served, unless it has for equal bytes before, and frames of a clip.

        Raises:
            PrismError: of `make`; nothing is kept.
        """
        key = _key(model, digest, video_frames)
        with self._lock:
            known = self._patches.get(key)
        (self._misses if known is None else self._hits).inc()
        if known is not None:
            return known
        made = make()
        if isinstance(made, Patches):
            with self._lock:
                self._patches.keep(key, made, made.nbytes + ENTRY_OVERHEAD)
        return made


def _key(model: Model, digest: Digest, video_frames: int) -> Hashable:
    modality, _ = digest
    return model.eyes, digest, video_frames if modality == Modality.VIDEO else 0
