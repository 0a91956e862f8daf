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

    def has(self, model: Model, digest: Hashable) -> bool:
        """Whether equal bytes are kept, if they are not dropped meanwhile."""
        with self._lock:
            return self._patches.get((model.eyes, digest)) is not None

    def content(self, model: Model, digest: Hashable, make: Callable[[], Content]) -> Content:
        """What `make` makes for a model that is served, unless it has for equal bytes before.

        Raises:
            PrismError: of `make`; nothing is kept.
        """
        key = model.eyes, digest
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
