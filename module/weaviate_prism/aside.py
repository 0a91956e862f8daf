"""Python's own work on many items, where it holds up nobody: on a thread beside the event loop.

Not on the CPU threads of `stages.py`: it takes milliseconds, and would wait behind media that are being decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Dividing a request into units takes 2.5 µs for each item, putting its answers together 1; the way to a thread and
# back 0.1 ms.
INLINE_ITEMS = 64


async def aside(items: int, function: Callable[..., T], *args: object, inline: int = INLINE_ITEMS) -> T:
    """`function(*args)`, on the spot for few items, and on a thread for those that would stall the event loop."""
    return function(*args) if items <= inline else await asyncio.to_thread(function, *args)
