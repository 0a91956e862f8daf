"""Whose call a log line belongs to: its trace id by W3C Trace Context, its collection and tenant.

They are a caller's words: logged, in a form that can harm no log, and used for nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar

# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may append fields.
TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

LONGEST_SHOWN = 256  # Weaviate's own names have at most 231 characters

_caller: ContextVar[str] = ContextVar("caller", default="")


def trace_id_of(traceparent: str) -> str:
    """32 hex digits, or nothing where the header is absent or malformed: such a header is to be ignored."""
    found = TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == "00" and found[3] is not None):
        return ""
    return found[2]


def shown(name: str) -> str:
    """A caller's word as it may stand in a log line: in quotes, cut, with escapes for all but printable ASCII."""
    return ascii(name[:LONGEST_SHOWN])


@contextlib.contextmanager
def traced(traceparent: str, collection: str = "", tenant: str = "") -> Iterator[None]:
    """Names the trace, collection and tenant, where known, in every log line that the block brings about."""
    trace_id = trace_id_of(traceparent)
    words = [f" trace={trace_id}"] if trace_id else []
    words += [f" {key}={shown(name)}" for key, name in (("collection", collection), ("tenant", tenant)) if name]
    token = _caller.set("".join(words))
    try:
        yield
    finally:
        _caller.reset(token)


class TraceFilter(logging.Filter):
    """Gives each record of a handler `trace`: ` trace=4bf9... collection='Scene'`, or nothing outside of a call."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.trace = _caller.get()
        return True
