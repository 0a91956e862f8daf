"""What the bench's own clients cost, which share the cores with what they measure: CPU time for each request."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from bench import content
from bench.load import Door, drive, http, http_object, rpc, rpc_object
from servers import FAKE, Prism

REQUESTS, AT_ONCE = 2000, 16


@pytest.mark.parametrize("by", ["http", "grpc"])
def test_cost_of_a_client(report: Callable[..., None], by: str) -> None:
    pictures = [content.photograph(640, 480) for _ in range(REQUESTS)]
    with Prism(*FAKE) as prism:
        door: Door = http(prism.url) if by == "http" else rpc(prism.grpc_address)
        requests = [http_object(each, "images") if by == "http" else rpc_object(each) for each in pictures]
        before = time.process_time()
        drive(door, requests, AT_ONCE)
        used = time.process_time() - before
    report(what=f"the bench's client by {by}, 640x480 JPEG", client_cpu_ms=used / REQUESTS * 1000, wanted=1)
