"""Work in flight, shared by equal requests.

Weaviate resends requests whose connection broke, sends the same picture once per named vector, and as many equal
documents to be reranked as the search has found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from weaviate_prism.errors import PrismError
from weaviate_prism.scheduling.jobs import Ticket

R = TypeVar("R")

Answers: TypeAlias = Mapping[Hashable, R | PrismError]
Compute: TypeAlias = Callable[[Sequence[Hashable]], Awaitable[Answers[R]]]


@dataclass(slots=True, eq=False)
class _Flight(Generic[R]):
    """Keys that are being computed together."""

    keys: Sequence[Hashable]
    task: asyncio.Future[Answers[R]]
    ticket: Ticket
    waiters: int = 0


class Flights(Generic[R]):
    """Used from one event loop; `shared` is told how many keys need no work of their own."""

    def __init__(self, shared: Callable[[int], object]) -> None:
        self._shared = shared
        self._flights: dict[Hashable, _Flight[R]] = {}

    async def get(
        self, keys: Sequence[Hashable], compute: Compute[R], ticket: Ticket
    ) -> dict[Hashable, R | PrismError]:
        """The answer of each key, or its error: being computed for somebody else, or computed now.

        `compute` gets all keys that nobody else computes at once, so that they may share work. A key must
        name everything that changes the answer. Work in flight is shared with those who would not get it
        sooner on their own; it has the time of whoever waits longest, and ends when the last of them is gone.

        Raises:
            what `compute` does
        """
        flights: dict[Hashable, _Flight[R]] = {}
        missing: list[Hashable] = []
        for key in dict.fromkeys(keys):
            if self.joins(key, ticket):
                flight = flights[key] = self._flights[key]
                flight.ticket.deadline = max(flight.ticket.deadline, ticket.deadline)
            else:
                missing.append(key)
        self._shared(len(keys) - len(missing))
        if missing:
            flights |= dict.fromkeys(missing, self._take_off(missing, compute, ticket))
        return await self._wait(flights)

    def joins(self, key: Hashable, ticket: Ticket) -> bool:
        """Whether it is being computed for somebody else, no later than it would be now."""
        flight = self._flights.get(key)
        return flight is not None and flight.ticket.priority <= ticket.priority and not flight.task.done()

    def _take_off(self, keys: Sequence[Hashable], compute: Compute[R], ticket: Ticket) -> _Flight[R]:
        flight = _Flight(keys, asyncio.ensure_future(compute(keys)), ticket)
        for key in keys:
            self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._landed(flight))
        return flight

    async def _wait(self, flights: Mapping[Hashable, _Flight[R]]) -> dict[Hashable, R | PrismError]:
        joined = set(flights.values())
        for flight in joined:
            flight.waiters += 1
        try:
            ended, _ = await asyncio.wait({each.task for each in joined}, return_when=asyncio.FIRST_EXCEPTION)
            for task in ended:
                if (error := task.exception()) is not None:
                    # each caller his own: its frames hold all that the flight does
                    raise error.bare() if isinstance(error, PrismError) else error
            return {key: flight.task.result()[key] for key, flight in flights.items()}
        finally:
            for flight in joined:
                flight.waiters -= 1
                if not flight.waiters and not flight.task.done():
                    self._forget(flight)  # at once: nobody may join a flight that is being called off
                    flight.task.cancel()

    def _forget(self, flight: _Flight[R]) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _landed(self, flight: _Flight[R]) -> None:
        self._forget(flight)
        if not flight.task.cancelled():
            flight.task.exception()  # every waiter may be gone: mark it as seen
