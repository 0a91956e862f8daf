"""Decoded pixels have a bound: jobs wait for room in turn, never for each other, and what is dropped is given back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from weaviate_prism import room
from weaviate_prism.errors import Overloaded, TooLarge
from weaviate_prism.room import PixelBudget, kept, until


class Thing:
    """Something that takes room."""


@pytest.fixture(autouse=True)
def a_job_of_its_own() -> None:
    room._job.set(None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_SECONDS", 0.01)


def elsewhere(call: Callable[[], object]) -> None:
    """Calls it on another thread, as another job with this one's deadline."""
    context = copy_context()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(context.run, another_job, call).result()


def another_job(call: Callable[[], object]) -> object:
    room._job.set(None)
    return call()


def waiting(budget: PixelBudget, count: int) -> None:
    """Returns when so many jobs wait."""
    end = time.monotonic() + 10
    while len(budget._line) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.usefixtures("impatient")
def test_beyond_the_room_is_refused_by_its_numbers() -> None:
    small = PixelBudget(10)
    kept = small.made(7, Thing)
    with pytest.raises(Overloaded, match=r"decode 4 pixels: 7 .* limit is 10"):
        elsewhere(lambda: small.made(4, Thing))
    elsewhere(lambda: small.made(3, Thing))
    del kept
    elsewhere(lambda: small.made(10, Thing))


def test_room_is_waited_for_and_never_exceeded() -> None:
    """Each of 32 threads holds its thing until another one is made, so a third is never there in time."""
    narrow, lock, made, most = PixelBudget(20), threading.Lock(), 0, 0
    held: list[int] = []

    def hold(number: int) -> None:
        nonlocal made, most
        thing = narrow.made(10, Thing)
        with lock:
            held.append(number)
            most = max(most, len(held))
        threading.Event().wait(0.002)  # so long that all others ask meanwhile
        with lock:
            held.remove(number)
            made += 1
        del thing

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(hold, range(64)))
    assert (made, most) == (64, 2)


def test_one_thing_alone_may_be_larger_than_the_room() -> None:
    assert PixelBudget(10).made(11, Thing)


def test_several_things_of_one_job_fill_the_room_and_no_more() -> None:
    """It is refused for good: trying again could not help."""
    small = PixelBudget(10)
    mine = [small.made(5, Thing)]
    mine.append(small.made(5, Thing))
    with pytest.raises(TooLarge, match=r"11 pixels together .* limit of 10"):
        small.made(1, Thing)
    mine.clear()
    small.made(10, Thing)


def test_jobs_that_hold_some_wait_for_more_and_are_refused_only_where_all_would_wait() -> None:
    """Twelve jobs of two things each, of which two fit; all are done in the end, those refused by trying again."""
    narrow, lock, held, most = PixelBudget(10), threading.Lock(), 0, 0

    def make() -> Thing:
        nonlocal held, most
        with lock:
            held += 5
            most = max(most, held)
        return Thing()

    def attempt() -> bool:
        nonlocal held
        mine: list[Thing] = []
        try:
            while len(mine) < 2:
                mine.append(narrow.made(5, make))
                threading.Event().wait(0.001)  # so long that others ask meanwhile
        except Overloaded:
            return False
        finally:
            with lock:
                held -= 5 * len(mine)
            mine.clear()
        return True

    def persist(_: int) -> None:
        while not copy_context().run(attempt):
            pass

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(persist, range(36)))
    assert (held, most) == (0, 10)


def test_a_job_that_waits_is_let_in_when_the_one_that_runs_is_done() -> None:
    """Not refused though it holds some itself: the other one runs."""
    small, mine, theirs = PixelBudget(10), threading.Event(), threading.Event()

    def run() -> None:
        first = small.made(5, Thing)
        mine.set()
        assert theirs.wait(10)
        del first

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run)
        assert mine.wait(10)
        things = [small.made(4, Thing)]
        threading.Timer(0.05, theirs.set).start()
        things.append(small.made(6, Thing))
        running.result()


def test_what_is_kept_counts_and_neither_waits_nor_lets_its_job_take_more() -> None:
    """Fifteen threads, each of which has kept the picture of a query: only one more fits beside all of them."""
    budget, kept_all, lock = PixelBudget(100), threading.Barrier(15), threading.Lock()
    queries: list[Thing] = []
    at_once, most = 0, 0

    def keep() -> None:
        with kept():
            queries.append(budget.made(1, Thing))

    def make() -> Thing:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        return Thing()

    def work() -> None:
        nonlocal at_once
        keep()
        kept_all.wait(10)
        thing = budget.made(99, make)
        threading.Event().wait(0.002)
        with lock:
            at_once -= 1
        del thing

    with ThreadPoolExecutor(15) as threads:
        for done in [threads.submit(work) for _ in range(15)]:
            done.result()
    assert most == 1
    assert len(queries) == 15


def test_what_is_kept_alone_holds_nobody_up() -> None:
    full = PixelBudget(10)
    with kept():
        query = full.made(10, Thing)
    assert full.made(5, Thing)
    del query


def test_a_later_small_thing_does_not_overtake_a_large_one() -> None:
    budget, order = PixelBudget(10), list[int]()
    first = budget.made(6, Thing)

    def ask(pixels: int) -> None:
        thing = budget.made(pixels, Thing)
        order.append(pixels)
        del thing

    with ThreadPoolExecutor(2) as threads:
        large = threads.submit(ask, 10)
        waiting(budget, 1)
        small = threads.submit(ask, 1)
        waiting(budget, 2)
        del first
        large.result()
        small.result()
    assert order == [10, 1]


def test_nobody_waits_beyond_its_deadline() -> None:
    budget = PixelBudget(10)
    thing = budget.made(10, Thing)
    began = time.monotonic()
    with pytest.raises(Overloaded), until(began + 0.05):
        elsewhere(lambda: budget.made(1, Thing))
    assert time.monotonic() - began < room.PATIENCE_SECONDS / 2
    del thing


def test_patience_does_not_begin_again_whenever_something_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_SECONDS", 0.2)
    budget, refused = PixelBudget(10), threading.Event()
    thing = budget.made(9, Thing)

    def give_back_again_and_again() -> None:
        while not refused.wait(0.02):
            with kept():
                budget.made(1, Thing)

    with ThreadPoolExecutor(1) as thread:
        busy = thread.submit(give_back_again_and_again)
        began = time.monotonic()
        with pytest.raises(Overloaded):
            elsewhere(lambda: budget.made(5, Thing))
        refused.set()
        busy.result()
    assert 0.15 < time.monotonic() - began < 5
    del thing


def test_what_cannot_be_made_takes_nothing() -> None:
    small = PixelBudget(10)

    def fail() -> Thing:
        raise LookupError

    for _ in range(3):
        with pytest.raises(LookupError):
            small.made(10, fail)
    elsewhere(lambda: small.made(10, Thing))
