"""What the models of one device know of each other's queries: these go before the inserts of them all."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Queries:
    """Of all stages of one device, which share its lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.last = float("-inf")  # when one came
        self.running = 0  # batches of them
        self._ended = 0
        self._changed = threading.Condition(self.lock)

    def came(self, now: float) -> None:
        """One has."""
        with self.lock:
            self.last = max(self.last, now)
            self._changed.notify_all()

    def count_running(self, change: int) -> None:
        """One batch of them has begun, or ended."""
        with self.lock:
            self.running += change
            self._ended += change < 0
            self._changed.notify_all()

    def wait(self, enough: Callable[[], object]) -> None:
        """Until none runs, one batch has ended, however many come after it, or there is enough."""
        with self.lock:
            ended = self._ended
            self._changed.wait_for(lambda: not self.running or self._ended > ended or enough())
