"""Callers who were answered together ask again together, and whoever came too late for their batch waits for them.

With 16 callers, each asking again once it is answered, batches would hold 15 and 1 for ever, with the fixed costs of
two. Only counts, and has no clock.
"""

from __future__ import annotations


class Returning:
    """Of the works of one priority on one device.

    `fixed` are the seconds that a batch takes whatever is in it; who asks so soon after the last one has returned.
    """

    def __init__(self) -> None:
        self._ended = float("-inf")  # when the last batch did
        self._answered = 0  # by it
        self._company = 0  # those, and all who waited then
        self._returned = 0  # since then, in time
        self._do_return = False  # whether most of those answered before did

    def asked(self, now: float, fixed: float) -> None:
        """One more is there."""
        self._returned += now <= self._ended + fixed

    def ended(self, answered: int, waiting: int, now: float) -> None:
        """A batch has been run: so many were answered, and so many others wait."""
        self._do_return, self._returned = 2 * self._returned >= self._answered > 0, 0
        self._ended, self._answered, self._company = now, answered, answered + waiting

    def awaited(self, waiting: int, fixed: float, now: float) -> float:
        """Seconds for which those who wait do so for the others; at most the fixed costs, which that may save."""
        if not self._do_return or waiting > self._answered or waiting >= self._company:
            return 0.0
        return max(0.0, self._ended + fixed - now)
