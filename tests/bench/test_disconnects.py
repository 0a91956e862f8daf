"""100 clients that leave in the middle of their request, then one good request."""

from __future__ import annotations

import json
import socket
import statistics
from collections.abc import Callable
from urllib.parse import urlsplit

from bench.timing import seconds
from objects import b64
from servers import BUNDLED, Prism
from weaviate_prism.bundled.drawing import picture_png
from weaviate_prism.bundled.scenes import make_scenes

LEAVERS = 100
PICTURES = 8


def test_disconnects(report: Callable[..., None]) -> None:
    pictures = [b64(picture_png(scene, 128)) for scene in make_scenes(LEAVERS * PICTURES, 50, ("group", "pair"))]
    with Prism(*BUNDLED, "--cache-bytes", "0") as prism:
        before = statistics.median(seconds(lambda: prism.embed("texts", "a good request")) for _ in range(5))
        for number in range(LEAVERS):
            leave(prism, pictures[number * PICTURES :][:PICTURES])
        after = seconds(lambda: prism.embed("texts", "a good request"))
        dropped = prism.metric("prism_dropped_total", reason="caller_gone")
    report(good_request_before_s=before, good_request_after_s=after, items_dropped=dropped)


def leave(prism: Prism, pictures: list[str]) -> None:
    """Sends a whole request and closes the connection instead of waiting for the answer."""
    address = urlsplit(prism.url)
    body = json.dumps({"images": pictures}).encode()
    head = f"POST /vectorize HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head + body)
