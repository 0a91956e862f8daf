"""How far preparing runs ahead of the device: a bound on prepared inputs, by number and by bytes.

Bytes are known only once an input is prepared, and a thread that waited then would hold the input and keep
others from running. So whoever prepares media takes a guess in advance and corrects it later, which never waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from weaviate_prism.errors import PrismError
from weaviate_prism.models.base import Prepared

# Inputs of one kind of work that may be prepared and not yet done. Who waits here goes in order of arrival, whatever is
# left of it: with 512, a search of 2 documents behind 20 of 32 took 0.9 s instead of 0.06. A text of 8,000 tokens
# takes 64 kB.
PREPARED_AHEAD = 4096

# 2 GB in all, each kind of work its own, so that a query never waits for what bulk inserts hold. A batch on a GPU
# is 9 pictures of 1,800 tokens, and inserts have room for two.
QUERY_BYTES, BULK_BYTES, RERANK_BYTES = 500_000_000, 1_000_000_000, 500_000_000
# What models compute once for all documents of a query stays until the last one is scored: with Qwen3-VL-2B in bfloat16
# 0.1 MB for a token, and queries may have thousands. The requests of one search share it, and are counted one by one.
SHARED_BYTES = 1_000_000_000


class Places:
    """A semaphore of which several places are taken at once; first come, first served. Used from one event loop.

    Two who had half of theirs each would wait for each other.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, count: int) -> None:
        """Takes so many places, at most all there are; they are given back by `leave`."""
        if not self._waiting and count <= self._free:
            self._free -= count
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            # if its turn had come, it has places; if not, those behind it may fit now
            self.leave(0 if turn.cancelled() else count)
            raise

    def leave(self, count: int) -> None:
        """Gives back so many; fewer than none takes more, without waiting."""
        self._free += count
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.cancelled():
                if wanted > self._free:
                    return
                self._free -= wanted
                turn.set_result(None)
            self._waiting.popleft()


class Ahead:
    """Room for the prepared inputs of one kind of work. Used from one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._inputs = Places(PREPARED_AHEAD)
        self._bytes = Places(max_bytes)

    def reserve(self, count: int, nbytes: int) -> Reservation:
        """Room for the inputs of one job, whose media are guessed to take so many bytes."""
        return Reservation(self._inputs, self._bytes, count, min(nbytes, self._max_bytes))


class Reservation:
    """What one job takes while it is entered; the bytes of its inputs are guessed until they are weighed."""

    def __init__(self, inputs: Places, bytes_: Places, count: int, size: int) -> None:
        self._inputs = inputs
        self._bytes = bytes_
        self._count = count
        self._size = size

    async def __aenter__(self) -> Reservation:
        await self._inputs.enter(self._count)
        if self._size:
            try:
                # in this order for all: who waits for bytes waits for those who have everything they need
                await self._bytes.enter(self._size)
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
