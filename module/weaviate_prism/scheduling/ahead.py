"""How far preparing runs ahead of the device: a bound on prepared inputs, by number and by bytes.

Bytes are known only once an input is prepared, and a thread that waited then would hold the input and keep
others from running. So whoever prepares media takes a guess in advance and corrects it later, which never waits.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weaviate_prism.errors import PrismError
from weaviate_prism.models.base import Prepared
from weaviate_prism.scheduling.jobs import AGED_TURN, AGEING_SECONDS, Ticket

# Inputs of one kind of work that may be prepared and not yet done. A text of 8,000 tokens takes 64 kB.
PREPARED_AHEAD = 4096

# 2 GB in all, each kind of work its own, so that a query never waits for what bulk inserts hold. A batch on a GPU
# is 9 pictures of 1,800 tokens, and inserts have room for two.
QUERY_BYTES, BULK_BYTES, RERANK_BYTES = 500_000_000, 1_000_000_000, 500_000_000
# What models compute once for all documents of a query stays until the last one is scored: with Qwen3-VL-2B in bfloat16
# 0.1 MB for a token, and queries may have thousands. The requests of one search share it, and are counted one by one.
SHARED_BYTES = 1_000_000_000


@dataclass(slots=True, eq=False)
class _Wish:
    """Of one who waits for so many places."""

    count: int
    arrived: float
    turn: asyncio.Future[None]


class Places:
    """A semaphore of which several places are taken at once. Used from one event loop.

    Who had least left when he came goes first, but not for ever. Nobody goes before the first because it needs
    less room: two who had half of theirs each would wait for each other.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = size
        self._clock = clock
        self._waiting: list[tuple[float, int, _Wish]] = []  # a heap
        self._arrivals: deque[_Wish] = deque()
        self._order, self._turns = itertools.count(), 1

    async def enter(self, count: int, ticket: Ticket) -> None:
        """Takes so many places, at most all there are; they are given back by `leave`."""
        if count <= self._free and self._next() is None:
            self._free -= count
            return
        wish = _Wish(count, self._clock(), asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, (ticket.work.seconds, next(self._order), wish))
        self._arrivals.append(wish)
        self.leave(0)  # it may be the next, and find room
        try:
            await wish.turn
        except asyncio.CancelledError:
            # if its turn had come, it has places; if not, those behind it may fit now
            self.leave(0 if wish.turn.cancelled() else count)
            raise

    def leave(self, count: int) -> None:
        """Gives back so many; fewer than none takes more, without waiting."""
        self._free += count
        while (wish := self._next()) is not None and wish.count <= self._free:
            self._free -= wish.count
            self._turns += 1
            wish.turn.set_result(None)

    def _next(self) -> _Wish | None:
        """Who had least left; every so often whoever has waited longest, if that is long."""
        while self._arrivals and self._arrivals[0].turn.done():
            self._arrivals.popleft()
        while self._waiting and self._waiting[0][-1].turn.done():
            heapq.heappop(self._waiting)
        if not self._waiting:
            return None
        oldest = self._arrivals[0]
        aged = self._turns % AGED_TURN == 0 and oldest.arrived + AGEING_SECONDS <= self._clock()
        return oldest if aged else self._waiting[0][-1]


class Ahead:
    """Room for the prepared inputs of one kind of work. Used from one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._inputs = Places(PREPARED_AHEAD)
        self._bytes = Places(max_bytes)

    def reserve(self, count: int, nbytes: int, ticket: Ticket) -> Reservation:
        """Room for the inputs of one job, whose media are guessed to take so many bytes."""
        return Reservation(self._inputs, self._bytes, count, min(nbytes, self._max_bytes), ticket)


class Reservation:
    """What one job takes while it is entered; the bytes of its inputs are guessed until they are weighed."""

    def __init__(self, inputs: Places, bytes_: Places, count: int, size: int, ticket: Ticket) -> None:
        self._inputs = inputs
        self._bytes = bytes_
        self._count = count
        self._size = size
        self._ticket = ticket

    async def __aenter__(self) -> Reservation:
        await self._inputs.enter(self._count, self._ticket)
        if self._size:
            try:
                # in this order for all: who waits for bytes waits for those who have everything they need
                await self._bytes.enter(self._size, self._ticket)
            except BaseException:
                self._inputs.leave(self._count)
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bytes.leave(self._size)
        self._inputs.leave(self._count)

    def weigh(self, prepared: Sequence[Prepared | PrismError]) -> None:
        """Replaces the guess by what the inputs take; where that is more, others are kept out for longer."""
        if self._size:
            guess, self._size = self._size, sum(size_of(each) for each in prepared)
            self._bytes.leave(guess - self._size)


def size_of(prepared: Prepared | PrismError) -> int:
    """Bytes of its arrays and tensors."""
    return 0 if isinstance(prepared, PrismError) else prepared.nbytes
