"""Who is let in, and that everybody gets an answer: bounds on work and bytes in flight, a result or error per item.

Knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from weaviate_prism.config import Settings
from weaviate_prism.errors import DeadlineExceeded, Overloaded, PrismError, check_limit
from weaviate_prism.metrics import Metrics

T = TypeVar("T")

# Pieces of work of one request that start in one turn of the event loop, each within 1 ms.
TASKS_AT_ONCE = 8


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

    async def answer_all(self, work: Iterable[Coroutine[Any, Any, T]], deadline: float) -> list[T | PrismError]:
        """Runs the work of one request, once it is admitted, side by side; each failure stays in its place."""
        work = iter(work)
        begun = list(itertools.islice(work, 2))
        if len(begun) == 1:  # such as a query: a task of its own would be another turn of the loop
            return [await self._answer(begun[0], deadline)]
        answers = []
        async with asyncio.TaskGroup() as group:
            for number, one in enumerate(itertools.chain(begun, work), 1):
                answers.append(group.create_task(self._answer(one, deadline)))
                if number % TASKS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        return [answer.result() for answer in answers]

    async def _answer(self, work: Coroutine[Any, Any, T], deadline: float) -> T | PrismError:
        try:
            async with until_deadline(deadline, "before the model was done"):
                return await work
        except PrismError as error:
            return error.bare()  # its frames may hold what others wait for

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
