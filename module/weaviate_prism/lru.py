"""Values by key, of so many bytes at most: those that were not asked for longest are dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from prometheus_client import Gauge

V = TypeVar("V")


class LeastRecentlyUsed(Generic[V]):
    """`held` shows its bytes. Not thread-safe."""

    def __init__(self, max_bytes: int, held: Gauge) -> None:
        self._max_bytes = max_bytes
        self._held = held
        self._bytes = 0
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value, which is the last to be dropped now."""
        if (found := self._values.get(key)) is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def keep(self, key: Hashable, value: V, nbytes: int, *, evict: bool = True) -> None:
        """Drops others until it fits; does nothing with one that never does, or whose key has a value.

        Without `evict`, it is kept only where there is room.
        """
        if nbytes > self._max_bytes - (0 if evict else self._bytes) or key in self._values:
            return
        self._values[key] = value, nbytes
        self._bytes += nbytes
        while self._bytes > self._max_bytes:
            _, (_, dropped) = self._values.popitem(last=False)
            self._bytes -= dropped
        self._held.set(self._bytes)
