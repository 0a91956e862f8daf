"""How much is decoded at once: pictures and clips wait for room, by their pixels, which their headers tell.

A picture takes 10 to 14 bytes of memory a pixel (WebP 16) until a model's processor has made it small; its
encoded bytes tell nothing of that: 4 kB of PNG hold 33 million pixels.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from weaviate_prism.errors import Overloaded, TooLarge

T = TypeVar("T")

# Largest pictures at once, or as many pixels in smaller ones: some 4 GB of 33 million each.
LARGEST_AT_ONCE = 8
# The largest take 1 to 2 s, on a busy machine ten times as long. Nobody waits longer, whatever its deadline:
# its thread has other work.
PATIENCE_SECONDS = 30.0

# A job of a CPU thread runs in a context of its own, in which its first picture names it.
_job: ContextVar[object | None] = ContextVar("job", default=None)
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
_KEPT = object()


@contextlib.contextmanager
def until(deadline: float) -> Iterator[None]:
    """Nothing inside waits for room after the deadline, in time.monotonic() seconds."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """What is made inside outlives its job: it counts for everybody, and does not wait.

    Whoever keeps it waits beforehand, where no thread is held up.
    """
    token = _job.set(_KEPT)
    try:
        yield
    finally:
        _job.reset(token)


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    job: object
    pixels: int


class PixelBudget:
    """Room for so many decoded pixels; thread-safe. First come, first served, but who holds some goes first.

    Nobody waits for ever: a job waits only as long as another one holds room and runs. That one ends, which gives
    all of its room back, or begins to wait, for the same reason, for a third. Were the last one that runs to wait
    as well, it is refused instead; and where no job holds any, only what is kept is in the way, and the first in
    the line goes ahead: what is kept is given back only when jobs like it are done.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._held: Counter[object] = Counter()  # by job; what is kept has an entry of its own
        self._line: list[_Wish] = []
        self._changed = threading.Condition()  # of an RLock: garbage collection may give back inside of `_take`

    def made(self, pixels: int, make: Callable[[], T]) -> T:
        """What `make` makes, once there is room; the room is given back when that object is dropped.

        Raises:
            TooLarge: with what the job has already, it is more than there is room for.
            Overloaded: no room in time, or jobs that wait themselves hold all of it.
        """
        job = _current_job()
        self._take(job, pixels)
        try:
            made = make()
        except BaseException:
            self._give_back(job, pixels)
            raise
        weakref.finalize(made, self._give_back, job, pixels).atexit = False
        return made

    def _take(self, job: object, pixels: int) -> None:
        with self._changed:
            if job is not _KEPT:
                self._wait(_Wish(job, pixels))
            self._held[job] += pixels

    def _wait(self, wish: _Wish) -> None:
        together = self._held[wish.job] + wish.pixels
        if wish.job in self._held and together > self._pixels:
            raise TooLarge(f"media of {together} pixels together are over the limit of {self._pixels}")
        now = time.monotonic()
        patience = min(_deadline.get(), now + PATIENCE_SECONDS) - now
        holders = sum(other.job in self._held for other in self._line)
        self._line.insert(holders if wish.job in self._held else len(self._line), wish)
        try:
            self._changed.wait_for(lambda: self._may_go(wish) or self._is_stuck(wish), patience)
            if not self._may_go(wish):
                raise Overloaded(
                    f"no room to decode {wish.pixels} pixels: {self._held.total()} are decoded already; "
                    f"the limit is {self._pixels}"
                )
        finally:
            self._line.remove(wish)
            self._changed.notify_all()

    def _may_go(self, wish: _Wish) -> bool:
        return self._line[0] is wish and self._fits(wish)

    def _fits(self, wish: _Wish) -> bool:
        return self._held.keys() <= {_KEPT} or self._held.total() + wish.pixels <= self._pixels

    def _is_stuck(self, wish: _Wish) -> bool:
        """Whether all jobs that hold room wait, this one among them, and the first of them does so in vain."""
        waiting = {each.job for each in self._line}
        return wish.job in self._held and self._held.keys() <= waiting | {_KEPT} and not self._fits(self._line[0])

    def _give_back(self, job: object, pixels: int) -> None:
        with self._changed:
            self._held[job] -= pixels
            if not self._held[job]:
                del self._held[job]
            self._changed.notify_all()


def _current_job() -> object:
    job = _job.get()
    if job is None:
        _job.set(job := object())
    return job
