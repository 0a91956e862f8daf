"""What vision towers made of pictures and clips seen before, bounded by bytes.

A search is reranked page by page and asked again in other words, and its documents are the same: a picture that is
found here is neither decoded nor looked at again. Towers of equal weights share what they have seen, so that a
document may have been seen when it was inserted.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

from weaviate_prism.lru import LeastRecentlyUsed
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Model, Patches, Reranker
from weaviate_prism.profiles import RERANKER
from weaviate_prism.values import Digest, Modality, Seen

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

    def find(self, model: Model, digest: Digest, video_frames: int) -> Patches | None:
        """What the model has seen of equal bytes, and as many frames of a clip."""
        with self._lock:
            found = self._patches.get(_key(model, digest, video_frames))
        if found is not None:
            self._hits.inc()
        return found

    def seen(self, model: Model, digest: str, video_frames: int) -> Seen | None:
        """A picture or clip of this digest, whichever the model has seen."""
        for modality in (Modality.IMAGE, Modality.VIDEO):
            if patches := self.find(model, (modality, digest), video_frames):
                return Seen(patches, modality)
        return None

    def keep(self, model: Model, digest: Digest, video_frames: int, patches: Patches) -> Patches:
        """What is kept now: these, or those of a thread that was faster.

        What an embedder reads is kept only where there is room: an import would push out what is searched for.
        """
        self._misses.inc()
        key = _key(model, digest, video_frames)
        with self._lock:
            evict = model.info.kind == RERANKER
            self._patches.keep(key, patches, patches.nbytes + ENTRY_OVERHEAD, evict=evict)
            return self._patches.get(key) or patches


def _key(model: Model, digest: Digest, video_frames: int) -> Hashable:
    modality, _ = digest
    return model.eyes, digest, video_frames if modality == Modality.VIDEO else 0
