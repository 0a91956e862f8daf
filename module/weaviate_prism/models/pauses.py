"""Where another batch may overtake a forward pass: between two of its layers.

On a CPU a picture takes 60 ms by CLIP, and eight of them 300. Whoever runs such a batch can do something shorter in
between, and the pass then goes on as if nothing had been.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_between: ContextVar[Callable[[], object] | None] = ContextVar("between", default=None)


@contextlib.contextmanager
def pausing(between: Callable[[], object]) -> Iterator[None]:
    """Inside, each pass of this thread calls it between any two layers; what it runs itself does, too."""
    before = _between.set(between)
    try:
        yield
    finally:
        _between.reset(before)


def pause() -> None:
    """Now is such a moment."""
    if (between := _between.get()) is not None:
        between()


def one_by_one(layers: Iterable[T]) -> Iterator[T]:
    """The layers of a pass, with a pause before each."""
    for layer in layers:
        pause()
        yield layer
