"""The bound on prepared inputs: never more than there are places, first come first served, and all given back."""

from __future__ import annotations

import asyncio

import pytest

from weaviate_prism.stages import Ahead


async def turns() -> None:
    """Lets everything that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_no_places_waits_for_all_of_his() -> None:
    ahead = Ahead(4)
    await ahead.enter(3)
    wide = asyncio.ensure_future(ahead.enter(2))
    await turns()
    assert not wide.done()
    ahead.leave(1)
    await wide


async def test_nobody_is_overtaken_by_who_needs_less() -> None:
    ahead = Ahead(4)
    await ahead.enter(3)
    wide = asyncio.ensure_future(ahead.enter(4))
    await turns()
    narrow = asyncio.ensure_future(ahead.enter(1))
    await turns()
    assert not narrow.done()
    ahead.leave(3)
    await wide
    assert not narrow.done()
    ahead.leave(4)
    await narrow


async def test_who_gives_up_waiting_takes_no_places_along() -> None:
    ahead = Ahead(4)
    await ahead.enter(4)
    first, second, third = (asyncio.ensure_future(ahead.enter(count)) for count in (4, 3, 1))
    await turns()
    first.cancel()  # while it waits
    await turns()
    ahead.leave(4)
    second.cancel()  # when its turn has come, before it knows
    for left in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await left
    await third
    await asyncio.wait_for(ahead.enter(3), 1)
