"""What the models of one device know of each other's queries: these go before the inserts of them all.

Queries never wait for another model: while inserts have their part of the time, both compute side by side.
"""

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

    def wait(self, own: Callable[[], object]) -> None:
        """Until no batch of them runs, one that ran has ended (more may follow), or there are some of one's own."""
        with self.lock:
            ended = self._ended
            self._changed.wait_for(lambda: not self.running or self._ended > ended or own())
