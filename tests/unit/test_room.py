"""Decoded pixels have a bound: who has none waits for it, who holds some never waits, what is dropped is given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from weaviate_prism import room
from weaviate_prism.errors import Overloaded
from weaviate_prism.room import Room


class Thing:
    """Something that takes room."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_SECONDS", 0.01)


def elsewhere(call: Callable[[], object]) -> None:
    """Calls it on a thread that holds nothing."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(call).result()


@pytest.mark.usefixtures("impatient")
def test_beyond_the_room_is_refused_by_its_numbers() -> None:
    small = Room(10)
    kept = small.made(7, Thing)
    with pytest.raises(Overloaded, match=r"decode 4 pixels: 7 .* limit is 10"):
        elsewhere(lambda: small.made(4, Thing))
    elsewhere(lambda: small.made(3, Thing))
    del kept
    elsewhere(lambda: small.made(10, Thing))


def test_room_is_waited_for_and_never_exceeded() -> None:
    """Each of 32 threads holds its thing until another one is made, so a third is never there in time."""
    narrow, lock, made, most = Room(20), threading.Lock(), 0, 0
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
    assert Room(10).made(11, Thing)


@pytest.mark.usefixtures("impatient")
def test_several_things_of_one_thread_fill_the_room_and_no_more() -> None:
    """Without waiting, also for others, who might wait for what it has."""
    small = Room(10)
    others: list[Thing] = []
    elsewhere(lambda: others.append(small.made(5, Thing)))
    mine = [small.made(4, Thing)] if small.made(5, Thing) else []
    mine.append(small.made(6, Thing))
    with pytest.raises(Overloaded):
        small.made(1, Thing)
    mine.clear()
    small.made(5, Thing)


def test_what_cannot_be_made_takes_nothing() -> None:
    small = Room(10)

    def fail() -> Thing:
        raise LookupError

    for _ in range(3):
        with pytest.raises(LookupError):
            small.made(10, fail)
    elsewhere(lambda: small.made(10, Thing))
