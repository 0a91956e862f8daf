"""What both doors share: every request is counted and timed, and no unexpected exception reaches a client.

Knows neither HTTP nor gRPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from weaviate_prism.engine import Engine
from weaviate_prism.errors import DeadlineExceeded, Internal, Overloaded, PrismError
from weaviate_prism.metrics import Metrics

log = logging.getLogger(__name__)

T = TypeVar("T")

# Parsing 32 KiB takes 0.5 ms at worst (16,000 tiny strings), the way to a thread and back 0.1 ms.
INLINE_BYTES = 32 * 1024
# Answers of more than 8 vectors are written by a thread: as JSON, 8 of 1,024 dimensions take 0.7 ms.
INLINE_VECTORS = 8
TELL_SECONDS = 10


class DisconnectError(Exception):
    """The client closed the connection before its answer was ready."""


class Requests:
    """Counts and times requests, and knows how many are being worked on."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.in_flight = 0
        self._told: dict[str, float] = {}  # when, by kind of error
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.contextmanager
    def one(self, door: str) -> Iterator[None]:
        """Spans one request of `door`.

        Raises:
            PrismError: the one that was raised inside, or `Internal` in place of anything unexpected.
        """
        began, outcome = time.monotonic(), "ok"
        self.in_flight += 1
        self._idle.clear()
        try:
            with only_prism_errors(door):
                yield
        except PrismError as error:
            outcome = error.kind
            self._tell(door, error)
            raise
        except (asyncio.CancelledError, DisconnectError):
            outcome = "cancelled"
            raise
        finally:
            self._metrics.requests.labels(door, outcome).inc()
            self._metrics.request_seconds.labels(door).observe(time.monotonic() - began)
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    def refused(self, door: str, error: PrismError) -> None:
        """Counts a request that did not get as far as being worked on."""
        self._metrics.requests.labels(door, error.kind).inc()
        self._tell(door, error)

    def _tell(self, door: str, error: PrismError) -> None:
        """Warns, now and then, of what no client is to blame for."""
        now, told = time.monotonic(), self._told.get(error.kind, -math.inf)
        if isinstance(error, Overloaded | DeadlineExceeded) and now > told + TELL_SECONDS:
            self._told[error.kind] = now
            log.warning("%s: %s; prism_requests counts all of these, one in %d s is told", door, error, TELL_SECONDS)

    async def idle(self) -> None:
        """Returns when nothing is in flight."""
        await self._idle.wait()


@contextlib.contextmanager
def only_prism_errors(door: str) -> Iterator[None]:
    """Logs what is unexpected and raises `Internal` in its place, which tells a client nothing."""
    try:
        yield
    except (PrismError, DisconnectError):
        raise
    except Exception:
        log.exception("%s failed", door)
        raise Internal("internal error; the log of the service has the details") from None


async def first(*calls: Coroutine[Any, Any, T]) -> T:
    """The result of the call that ends first (of several, the one named first); the others are cancelled."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            if not task.cancel() and not task.cancelled():
                task.exception()  # seen: asyncio would complain of one that nobody asked for


async def run_sized(engine: Engine, deadline: float, size: int, function: Callable[..., T], *args: object) -> T:
    """`function(*args)`, on the spot for small inputs and in the pool for those that would stall the event loop."""
    if size <= INLINE_BYTES:
        return function(*args)
    return await engine.run_in_pool(function, *args, deadline=deadline)
