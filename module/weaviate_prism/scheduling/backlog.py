"""How long all that is in the service will take, so that what cannot be done in time is refused at once.

    entered: a guess, from inputs of its kind that were done lately -> prepared: as the model's pace says -> left

Without anything done yet there is no guess, and nothing is refused. Only sums up; knows no clock, media or models.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from weaviate_prism.errors import DeadlineExceeded
from weaviate_prism.scheduling.jobs import Ticket, Work
from weaviate_prism.values import Priority

S = TypeVar("S")
T = TypeVar("T")

# How much some inputs change what is expected of the next: a guess that is too high refuses for nothing, and one unit
# that was slow, the first of all included, may have waited for something that nobody waits for again.
RATE_UP, RATE_DOWN = 0.2, 0.5


class Backlog:
    """Of all requests. Used from one event loop, but what devices have done they tell from their threads. `threads`
    prepare; one device computes what they have prepared.
    """

    def __init__(self, threads: int, clock: Callable[[], float], refused: Callable[[], object]) -> None:
        self._threads = threads
        self.clock = clock
        self._refused = refused
        self._preparing: dict[Hashable, float] = {}  # seconds of a thread for one input, by kind
        self._computing: dict[Hashable, float] = {}  # seconds of the device
        # of works, by how much is left of them: of those with less than another, there are thousands
        self._left: dict[Priority, defaultdict[int, float]] = {each: defaultdict(float) for each in Priority}
        self.lock = threading.RLock()

    def entered(self, kinds: Sequence[Hashable], ticket: Ticket) -> Entry:
        """Spans the time that inputs of these kinds are in the service: all that a caller waits for together.

        Raises:
            DeadlineExceeded: they would be done too late.
        """
        entry = Entry(self, kinds, ticket)
        own = entry.own
        before, left = self.before(ticket, own), ticket.deadline - self.clock()
        # Its own part is a guess that only trying corrects: it counts no more than what is there to be delayed.
        if before + min(own, before) > left:
            self._refused()
            raise DeadlineExceeded(
                f"refused, as it would come too late: about {before:.3g} s of work go before it, it takes {own:.2g} s "
                f"itself, and its caller waits for {max(left, 0.0):.3g} s (a deadline, or request_timeout)"
            )
        return entry

    def guess(self, kind: Hashable) -> float:
        """Seconds by which one more input delays all that come after it; 0 as long as none was done."""
        return self._seconds(self._preparing.get(kind, 0.0), self._computing.get(kind, 0.0))

    def before(self, ticket: Ticket, own: float) -> float:
        """Seconds of what goes before some more of a work: other works with no more left, and its own."""
        with self.lock:
            more_urgent = (sum(self._left[each].values()) for each in Priority if each < ticket.priority)
            level = _level(ticket.work.seconds + own)
            return sum(more_urgent) + sum(left for each, left in self._left[ticket.priority].items() if each <= level)

    def add(self, ticket: Ticket, seconds: float) -> None:
        """Changes what is left of a work."""
        levels, work = self._left[ticket.priority], ticket.work
        with self.lock:
            self._move(levels, work, -work.seconds)
            work.seconds = max(0.0, work.seconds + seconds)
            self._move(levels, work, work.seconds)

    def learn(self, kinds: Sequence[Hashable], preparing: float, computing: float) -> float:
        """From inputs that were prepared in so many seconds of a thread and take so many of the device.

        Returns:
            Seconds by which they delay what comes after them.
        """
        for known, seconds in ((self._preparing, preparing), (self._computing, computing)):
            each = seconds / len(kinds)
            for kind in set(kinds):
                before = known.get(kind, 0.0)
                known[kind] = before + (each - before) * (RATE_UP if each > before else RATE_DOWN)
        return self._seconds(preparing, computing)

    def _seconds(self, preparing: float, computing: float) -> float:
        """While the device computes, the next are prepared."""
        return max(preparing / self._threads, computing)

    def _move(self, levels: defaultdict[int, float], work: Work, seconds: float) -> None:
        level = _level(work.seconds)
        levels[level] += seconds
        if levels[level] < 1e-9:  # what sums of floats leave
            del levels[level]


class Entry:
    """All that one caller waits for, while it is in the service."""

    def __init__(self, backlog: Backlog, kinds: Sequence[Hashable], ticket: Ticket) -> None:
        self.backlog = backlog
        self._guesses: dict[Hashable, float] = {}
        self.own = self.guess(kinds)
        self._ticket = ticket
        self._left = 0.0

    def __enter__(self) -> Self:
        self.change(self.own)
        return self

    def __exit__(self, *_: object) -> None:
        self.change(-math.inf)

    def unit(self, kinds: Sequence[Hashable]) -> Unit:
        """Spans the time of some of its inputs."""
        return Unit(self, kinds)

    def guess(self, kinds: Sequence[Hashable]) -> float:
        """Seconds that inputs of these kinds take, as was guessed when the first of each was asked for."""
        self._guesses |= {kind: self.backlog.guess(kind) for kind in set(kinds) - self._guesses.keys()}
        return sum(self._guesses[kind] for kind in kinds)

    def change(self, seconds: float) -> None:
        """What is left of it is so much more, or less, down to nothing."""
        with self.backlog.lock:
            seconds = max(seconds, -self._left)
            self._left += seconds
            self.backlog.add(self._ticket, seconds)


class Unit:
    """Some inputs of an entry: guessed, prepared, and done one by one. May go on for others when its caller leaves."""

    def __init__(self, entry: Entry, kinds: Sequence[Hashable]) -> None:
        self._entry = entry
        self._kinds = kinds
        self._left = entry.guess(kinds)
        self._preparing = 0.0
        self._each = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave(0.0)

    def narrow(self, kinds: Sequence[Hashable]) -> None:
        """To inputs of these kinds: the others are computed for somebody else."""
        self._kinds = kinds
        self._leave(self._entry.guess(kinds))

    def timed(self, prepare: Callable[[Sequence[S]], list[T]]) -> Callable[[Sequence[S]], list[T]]:
        """The same function; the time that it takes, in the jobs of CPU threads one after the other, is known then."""
        clock = self._entry.backlog.clock

        def run(inputs: Sequence[S]) -> list[T]:
            began = clock()
            try:
                return prepare(inputs)
            finally:
                self._preparing += clock() - began

        return run

    def prepared(self, computing: float, inputs: int) -> None:
        """Replaces the guess: now it is known how long preparing took, and how long computing these inputs will."""
        seconds = self._entry.backlog.learn(self._kinds, self._preparing, computing)
        self._each = seconds / max(inputs, 1)
        self._leave(seconds if inputs else 0.0)

    def done(self, _: Future[Any]) -> None:
        """One input is, or is given up; called from any thread."""
        with self._entry.backlog.lock:
            self._leave(self._left - self._each)

    def _leave(self, seconds: float) -> None:
        """So much is left of it, if that is anything."""
        with self._entry.backlog.lock:
            left, self._left = self._left, max(0.0, seconds)
            self._entry.change(self._left - left)


def _level(seconds: float) -> int:
    """Equal for works of about the same size: within a fifth."""
    return math.ceil(4 * math.log2(seconds)) if seconds > 0 else -1000
