"""Who is let in, and that everybody gets an answer: bounds on work and bytes in flight, a result or error per item.

Knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from weaviate_prism.config import Settings
from weaviate_prism.errors import DeadlineExceeded, Overloaded, PrismError, check_limit
from weaviate_prism.metrics import Metrics

S = TypeVar("S")
T = TypeVar("T")


@contextlib.asynccontextmanager
async def until_deadline(deadline: float, when: str) -> AsyncIterator[None]:
    """Cancels what is inside at the deadline, in time.monotonic() seconds.

    Raises:
        DeadlineExceeded: saying when it passed.
    """
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            yield
    except TimeoutError:
        raise DeadlineExceeded(f"the deadline passed {when}") from None


class Admission:
    """Counts the inputs and bytes that all requests together have in the service. Used from one event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._max_queue = settings.max_queue
        self._max_bytes = settings.max_queue_bytes
        self._metrics = metrics
        self._in_flight = 0
        self.bytes_in_flight = 0

    @contextlib.contextmanager
    def bytes_held(self) -> Iterator[Held]:
        """Spans the time that a request's bytes are held, as it came or as read from the store; see `Held.resize`."""
        held = Held(self, self._max_bytes)
        try:
            yield held
        finally:
            self.bytes_in_flight -= held.size

    @contextlib.contextmanager
    def admitted(self, count: int) -> Iterator[None]:
        """Spans the time that so many inputs are in the service.

        Raises:
            Overloaded: there is no room for so many.
            TooLarge: there never is.
        """
        check_limit("request", count, "items", self._max_queue, "max_queue")
        if self._in_flight + count > self._max_queue:
            waiting = f"{self._in_flight} items are waiting in the service"
            raise Overloaded(f"{waiting}; {count} more are over the limit of {self._max_queue} (max_queue)")
        self._in_flight += count
        try:
            yield
        finally:
            self._in_flight -= count

    async def answer_all(
        self, units: Sequence[S], answer: Callable[[S], Awaitable[T]], deadline: float
    ) -> list[T | PrismError]:
        """The answer of each unit of one request, once it is admitted; side by side, each failure in its place."""

        async def answered(unit: S) -> T | PrismError:
            try:
                async with until_deadline(deadline, "before the model was done"):
                    return await answer(unit)
            except PrismError as error:
                return error.bare()  # its frames may hold what others wait for

        if len(units) == 1:  # such as a query: a task of its own would be another turn of the loop
            return [await answered(units[0])]
        tasks = []
        async with asyncio.TaskGroup() as group:
            for unit in units:
                tasks.append(group.create_task(answered(unit)))
                await asyncio.sleep(0)  # a turn of the loop for each: they begin with up to 1 ms of work
        return [task.result() for task in tasks]

    def counted(self, results: list[T | PrismError]) -> list[T | PrismError]:
        """The same results; their errors are in the metrics."""
        for result in results:
            if isinstance(result, PrismError):
                self._metrics.errors.labels(result.kind).inc()
        return results


class Held:
    """The bytes of one request among those of all."""

    def __init__(self, admission: Admission, limit: int) -> None:
        self.size = 0
        self._admission = admission
        self._limit = limit

    def resize(self, size: int) -> None:
        """
        Raises:
            Overloaded: all requests together would hold more than the limit.
        """
        total = self._admission.bytes_in_flight + size - self.size
        if total > self._limit:
            raise Overloaded(f"requests of {total} bytes are being read; the limit is {self._limit} (max_queue_bytes)")
        self._admission.bytes_in_flight, self.size = total, size
