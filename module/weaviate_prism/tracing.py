"""Whose call a log line belongs to: the trace id that the caller sent along, by W3C Trace Context.

It is a caller's word: logged, once it has the form, and used for nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar

# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may append fields.
TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

_trace_id: ContextVar[str] = ContextVar("trace_id", default="")


def trace_id_of(traceparent: str) -> str:
    """32 hex digits, or nothing where the header is absent or malformed: such a header is to be ignored."""
    found = TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == "00" and found[3] is not None):
        return ""
    return found[2]


@contextlib.contextmanager
def traced(traceparent: str) -> Iterator[None]:
    """Names the trace in every log line that the block brings about."""
    token = _trace_id.set(trace_id_of(traceparent))
    try:
        yield
    finally:
        _trace_id.reset(token)


class TraceFilter(logging.Filter):
    """Gives each record of a handler `trace`: ` trace=4bf9...`, or nothing outside of a traced call."""

    def filter(self, record: logging.LogRecord) -> bool:
        trace_id = _trace_id.get()
        record.trace = f" trace={trace_id}" if trace_id else ""
        return True
