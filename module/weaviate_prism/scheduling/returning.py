"""Callers who were answered together ask again together, and those who are there first wait for the others.

With 16 callers, each asking again once it is answered, batches would hold 15 and 1 for ever, with the fixed costs of
two. Only counts, and has no clock.
"""

from __future__ import annotations

# Who asks again at once does so within this, and nobody is waited for any longer.
SOON_SECONDS = 0.05
# After waiting in vain, so many batches are run without it: one, then three, and so on up to this.
MOST_IN_VAIN = 31


class Returning:
    """Of the works of one priority on one device."""

    def __init__(self) -> None:
        self._last_ended = float("-inf")  # when the last batch did
        self._company = 0  # the works that it has answered, and those that waited then
        self._held: int | None = None  # how many there were when waiting for others began
        self._in_vain, self._pause = 0, 0  # batches to be run without it, after the last time in vain and by now

    def ended(self, shared: int, answered: int, waiting: int, now: float) -> None:
        """A batch has been run that so many works have shared, and that was all for those answered."""
        if self._held is not None:
            self._in_vain = 0 if shared > self._held else min(2 * self._in_vain + 1, MOST_IN_VAIN)
            self._pause, self._held = self._in_vain, None
        elif self._pause:
            self._pause -= 1
        self._last_ended, self._company = now, answered + waiting

    def awaited(self, waiting: int, fixed: float, now: float) -> float:
        """Seconds for which so many works wait for the others; the next batch tells whether that was in vain.

        At most the fixed costs of a batch, in seconds: these are saved if they share it.
        """
        seconds = self._last_ended + min(fixed, SOON_SECONDS) - now
        if self._pause or waiting >= self._company or seconds <= 0:
            return 0.0
        self._held = self._held or waiting
        return seconds
