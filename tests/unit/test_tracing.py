"""Trace ids: taken from well-formed headers only, and in the log lines of their call only."""

from __future__ import annotations

import logging

import pytest

from weaviate_prism.tracing import TraceFilter, trace_id_of, traced

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{ID}-{PARENT}-01", ID),
        (f"cc-{ID}-{PARENT}-01-what-a-later-version-adds", ID),
        (f"cc-{ID}-{PARENT}-01", ID),
        ("", ""),
        (f"00-{ID}-{PARENT}-01-more", ""),
        (f"ff-{ID}-{PARENT}-01", ""),
        (f"00-{ID.upper()}-{PARENT}-01", ""),
        (f"00-{'0' * 32}-{PARENT}-01", ""),
        (f"00-{ID}-{'0' * 16}-01", ""),
        (f"00-{ID}-{PARENT}", ""),
        (f"00-{ID}-{PARENT}-01\n", ""),
        (f"00-{ID[:-1]}\n-{PARENT}-01", ""),
        (f"cc-{ID}-{PARENT}-01.", ""),
    ],
)
def test_only_a_well_formed_header_names_a_trace(header: str, expected: str) -> None:
    assert trace_id_of(header) == expected


def shown() -> str:
    record = logging.makeLogRecord({})
    assert TraceFilter().filter(record)
    trace: str = record.__dict__["trace"]
    return trace


def test_log_lines_name_collection_and_tenant_in_a_form_that_harms_no_log() -> None:
    with traced(f"00-{ID}-{PARENT}-01", "Scene", "north\n2026 ERROR forged\x1b[2J\x7f\u2028"):
        assert shown() == (f" trace={ID} collection='Scene' tenant='north\\n2026 ERROR forged\\x1b[2J\\x7f\\u2028'")
    with traced("", "x" * 1000):
        assert shown() == f" collection='{'x' * 256}'"
    assert shown() == ""


def test_log_lines_name_the_trace_inside_the_call_only() -> None:
    assert shown() == ""
    with traced(f"00-{ID}-{PARENT}-01"):
        assert shown() == f" trace={ID}"
        with traced("nonsense"):
            assert shown() == ""
        assert shown() == f" trace={ID}"
    assert shown() == ""
