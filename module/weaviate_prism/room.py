"""How much is decoded at once: pictures and clips wait for room, by their pixels, which their headers tell.

A picture takes 10 to 14 bytes of memory a pixel (WebP 16) until a model's processor has made it small; its
encoded bytes tell nothing of that: 4 kB of PNG hold 33 million pixels.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from weaviate_prism.errors import Overloaded

T = TypeVar("T")

# Largest pictures at once, or as many pixels in smaller ones: some 4 GB of 33 million each.
LARGEST_AT_ONCE = 8
# The largest take 1 to 2 s, on a busy machine ten times as long. Where nothing is given back for longer, the
# queries of reranks hold it, and some of them may be those that wait.
PATIENCE_SECONDS = 20.0


class Room:
    """Room for so many decoded pixels; thread-safe.

    A thread that has some already gets more without waiting, as far as the whole room goes: else two threads
    could wait for each other. So items of several pictures may together be over the limit.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._taken: Counter[int] = Counter()  # by thread
        self._changed = threading.Condition()  # of an RLock: garbage collection may give back inside of `_take`

    def made(self, pixels: int, make: Callable[[], T]) -> T:
        """What `make` makes, once there is room; the room is given back when that object is dropped.

        Raises:
            Overloaded: no room, and nothing was given back for `PATIENCE_SECONDS`.
        """
        thread = threading.get_ident()
        self._take(thread, pixels)
        try:
            made = make()
        except BaseException:
            self._give_back(thread, pixels)
            raise
        weakref.finalize(made, self._give_back, thread, pixels).atexit = False
        return made

    def _take(self, thread: int, pixels: int) -> None:
        with self._changed:
            while (taken := self._taken[thread] or self._taken.total()) and taken + pixels > self._pixels:
                if self._taken[thread] or not self._changed.wait(PATIENCE_SECONDS):
                    raise Overloaded(
                        f"no room to decode {pixels} pixels: {taken} are decoded already; the limit is {self._pixels}"
                    )
            self._taken[thread] += pixels

    def _give_back(self, thread: int, pixels: int) -> None:
        with self._changed:
            self._taken[thread] -= pixels
            self._changed.notify_all()
