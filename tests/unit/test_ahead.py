"""The bound on prepared inputs: never more than there is room for, who has least left first, and all given back."""

from __future__ import annotations

import asyncio

import pytest

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Prepared
from weaviate_prism.scheduling.ahead import Ahead, Places
from weaviate_prism.scheduling.jobs import AGED_TURN, AGEING_SECONDS, Ticket, Work, ticket
from weaviate_prism.values import Priority

MEDIA_BYTES = 48_000_000


async def enter(places: Places, count: int, left: float = 0.0) -> None:
    await places.enter(count, Ticket(Priority.QUERY, 0.0, 50.0, Work(left)))


async def turns() -> None:
    """Lets everything that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_no_places_waits_for_all_of_his() -> None:
    places = Places(4)
    await enter(places, 3)
    wide = asyncio.ensure_future(enter(places, 2))
    await turns()
    assert not wide.done()
    places.leave(1)
    await wide


async def test_nobody_is_overtaken_by_who_needs_less() -> None:
    places = Places(4)
    await enter(places, 3)
    wide = asyncio.ensure_future(enter(places, 4))
    await turns()
    narrow = asyncio.ensure_future(enter(places, 1))
    await turns()
    assert not narrow.done()
    places.leave(3)
    await wide
    assert not narrow.done()
    places.leave(4)
    await narrow


async def test_who_has_least_left_goes_first_and_among_equals_who_came_first() -> None:
    places, came = Places(4), []

    async def come(name: str, left: float) -> None:
        await enter(places, 4, left)
        came.append(name)

    await enter(places, 4)
    waiting = [
        asyncio.ensure_future(come(name, left)) for name, left in (("long", 9.0), ("short", 1.0), ("as short", 1.0))
    ]
    for _ in waiting:
        await turns()
        places.leave(4)
    await asyncio.gather(*waiting)
    assert came == ["short", "as short", "long"]


async def test_who_has_least_left_does_not_wait_behind_the_room_that_others_need() -> None:
    places = Places(4)
    await enter(places, 3)
    wide = asyncio.ensure_future(enter(places, 4, 9.0))
    await turns()
    await asyncio.wait_for(enter(places, 1, 1.0), 1)
    places.leave(4)
    await wide


async def test_who_has_waited_for_long_is_not_overtaken_for_ever() -> None:
    now = 0.0
    places = Places(1, lambda: now)
    await enter(places, 1)
    long = asyncio.ensure_future(enter(places, 1, 9.0))
    await turns()

    async def one_more() -> bool:
        """Somebody with less left comes, then a place is free; whether the long one got it."""
        short = asyncio.ensure_future(enter(places, 1, 1.0))
        await turns()
        places.leave(1)
        await turns()
        if not long.done():
            assert short.done()
            return False
        short.cancel()
        return True

    for _ in range(3 * AGED_TURN):
        assert not await one_more()
    now = AGEING_SECONDS
    assert True in [await one_more() for _ in range(AGED_TURN)]


async def test_who_gives_up_waiting_takes_no_places_along() -> None:
    places = Places(4)
    await enter(places, 4)
    first, second, third = (asyncio.ensure_future(enter(places, count)) for count in (4, 3, 1))
    await turns()
    first.cancel()  # while it waits
    await turns()
    places.leave(4)
    second.cancel()  # when its turn has come, before it knows
    for left in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await left
    await third
    await asyncio.wait_for(enter(places, 3), 1)


async def test_who_gives_up_at_the_head_lets_those_behind_in() -> None:
    places = Places(4)
    await enter(places, 3)
    wide, narrow = (asyncio.ensure_future(enter(places, count)) for count in (2, 1))
    await turns()
    wide.cancel()
    await asyncio.wait_for(narrow, 1)
    with pytest.raises(asyncio.CancelledError):
        await wide


def prepared(size: int) -> Prepared:
    return Prepared({}, 1, nbytes=size)


class Job:
    """Takes room for one input with media, and holds it until it is let go."""

    def __init__(self, ahead: Ahead, size: int, media: int = 1) -> None:
        self.inside, self.weighed, self.let_go = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.task = asyncio.ensure_future(self._run(ahead, size, media))

    async def _run(self, ahead: Ahead, size: int, media: int) -> None:
        async with ahead.reserve(1, media * MEDIA_BYTES, ticket(Priority.BULK, 50.0)) as reserved:
            self.inside.set()
            await self.weighed.wait()
            reserved.weigh([prepared(size), InvalidInput("no picture")])
            await self.let_go.wait()

    async def end(self) -> None:
        self.weighed.set()
        self.let_go.set()
        await self.task


async def test_media_are_guessed_until_they_are_weighed() -> None:
    ahead = Ahead(2 * MEDIA_BYTES)
    jobs = [Job(ahead, size=1000) for _ in range(4)]
    await turns()
    assert [job.inside.is_set() for job in jobs] == [True, True, False, False]
    jobs[0].weighed.set()  # what is left is a little less than the guess
    await turns()
    assert not jobs[2].inside.is_set()
    jobs[1].let_go.set()
    jobs[1].weighed.set()
    await turns()
    assert [job.inside.is_set() for job in jobs] == [True, True, True, False]
    for job in jobs:
        await job.end()


async def test_what_is_larger_than_its_guess_keeps_others_out_for_longer() -> None:
    ahead = Ahead(2 * MEDIA_BYTES)
    huge, small = Job(ahead, size=2 * MEDIA_BYTES), Job(ahead, size=1000)
    await turns()
    huge.weighed.set()
    await turns()
    later = Job(ahead, size=1000)
    await small.end()
    await turns()
    assert not later.inside.is_set()
    await huge.end()
    await asyncio.wait_for(later.inside.wait(), 1)
    await later.end()


async def test_a_job_over_the_whole_budget_runs_alone_and_texts_pass_it() -> None:
    ahead = Ahead(2 * MEDIA_BYTES)
    first, wide = Job(ahead, size=1000), Job(ahead, size=1000, media=100)
    await turns()
    text = Job(ahead, size=1000, media=0)
    await turns()
    assert [job.inside.is_set() for job in (first, wide, text)] == [True, False, True]
    await first.end()
    await asyncio.wait_for(wide.inside.wait(), 1)
    await wide.end()
    await text.end()
    assert ahead._bytes._free == 2 * MEDIA_BYTES


async def test_room_is_given_back_when_its_job_is_cancelled() -> None:
    ahead = Ahead(MEDIA_BYTES)
    jobs = [Job(ahead, size=1000) for _ in range(3)]
    await turns()
    for job in jobs[:2]:  # one inside, one that waits for bytes
        job.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job.task
    await asyncio.wait_for(jobs[2].inside.wait(), 1)
    await jobs[2].end()
    assert ahead._bytes._free == MEDIA_BYTES
