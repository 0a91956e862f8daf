"""What goes wrong: one kind of error per gRPC code, as the service has them; inputs that failed; and trying again."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from weaviate_prism import errors
from weaviate_prism.errors import PrismError

Code = grpc.StatusCode

KINDS: Mapping[grpc.StatusCode, type[PrismError]] = {
    Code.INVALID_ARGUMENT: errors.InvalidInput,
    Code.UNIMPLEMENTED: errors.Unsupported,
    Code.NOT_FOUND: errors.NotFound,
    Code.UNAUTHENTICATED: errors.Unauthenticated,
    Code.RESOURCE_EXHAUSTED: errors.Overloaded,
    Code.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    Code.UNAVAILABLE: errors.Unavailable,
    Code.INTERNAL: errors.Internal,
}
BY_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in Code}

# It restarts, loads its models, or has no room now.
PASSING = (errors.Unavailable, errors.Overloaded)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds

# gRPC's words for what a web server answers to it, and for no answer to its greeting.
HTTP1, SILENT = "http1.x server", ("before receiving SETTINGS", "FD Shutdown")
WANT_PORT = "PrismClient wants the gRPC port, 8091 by default"

SHOWN = 5  # failed inputs in the message of an `ItemsFailed`


class ItemsFailed(Exception):
    """Some of the inputs have no result.

    Attributes:
        errors: why, by the position of each input that failed: of an item, pair or document in its list.
        results: what would have been returned, with NaN for those: float32 [n, dimensions] or [n]. Of `rank`, the
            scores in the order of the documents.
    """

    def __init__(self, failed: Mapping[int, PrismError], results: npt.NDArray[np.float32]) -> None:
        self.errors = dict(sorted(failed.items()))
        self.results = results
        lines = [f"[{position}] {error.message}" for position, error in list(self.errors.items())[:SHOWN]]
        if len(self.errors) > SHOWN:
            lines.append(f"and {len(self.errors) - SHOWN} more")
        super().__init__(f"{len(self.errors)} of {len(results)} inputs failed: {'; '.join(lines)}")


def error_of(code: grpc.StatusCode, message: str) -> PrismError:
    """The error that the service had, or gRPC on the way."""
    if code is Code.RESOURCE_EXHAUSTED and "larger than max" in message:  # gRPC's own, not a full queue
        return errors.TooLarge(message)
    if code in KINDS:
        return KINDS[code](message)
    return errors.Internal(f"{code.name}: {message}")


def item_error(number: int, message: str) -> PrismError:
    """Of an `ItemError`."""
    return error_of(BY_NUMBER.get(number, Code.UNKNOWN), message)


def rpc_error(error: Any) -> PrismError:
    """Of what gRPC raises; Any, because the stubs know the code of asynchronous calls only."""
    return error_of(error.code(), error.details() or "")


class Attempts:
    """How long a call may still take, and when it is made again.

    gRPC's own retries end after five attempts, some 3 s, while a model takes longer to load; its `wait_for_ready`
    keeps to itself what it waits for.
    """

    def __init__(self, address: str, seconds: float) -> None:
        self._address = address
        self._silent = f"no answer from {address} within {seconds:g} s"
        self._refused = f"refused by {address} for {seconds:g} s"
        self._end = time.monotonic() + seconds
        self._pause = FIRST_PAUSE
        self._last: PrismError | None = None

    def remaining(self) -> float:
        """Seconds; 0 when the time is over."""
        return max(0.0, self._end - time.monotonic())

    def pause(self, error: PrismError) -> float:
        """Seconds until the next attempt.

        Raises:
            PrismError: this one, where it would be the same again; or the last one, when the time is over.
        """
        if isinstance(error, errors.DeadlineExceeded):
            if self._last is None:
                raise errors.DeadlineExceeded(self._silent)
            raise self._last.about(self._refused if isinstance(self._last, errors.Overloaded) else self._silent)
        if not isinstance(error, PASSING):
            raise error
        if HTTP1 in error.message:
            raise errors.Unavailable(f"{self._address} speaks HTTP/1, not gRPC: {WANT_PORT}")
        if any(words in error.message for words in SILENT):
            error = errors.Unavailable(f"{error.message}; {WANT_PORT}, and tls where that is encrypted")
        self._last = error
        pause = self._pause * random.uniform(0.5, 1.5)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return min(pause, self.remaining())
