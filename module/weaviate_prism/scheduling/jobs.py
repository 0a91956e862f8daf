"""What waits for the threads of a stage: jobs, how urgent they are, and the lines that they stand in."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from weaviate_prism.scheduling.batching import Size
from weaviate_prism.values import Priority

P = TypeVar("P")
R = TypeVar("R")

# Who has waited so long is overtaken no more by all: every fourth turn is that of whoever came first. Well inside the
# 50 s after which Weaviate gives up; and what overtakes still has most of the device, however much has waited.
AGEING_SECONDS, AGED_TURN = 10.0, 4


@dataclass(slots=True, eq=False, weakref_slot=True)
class Work:
    """What is left of a request, or of several that are chunks of one search."""

    seconds: float = 0.0  # an estimate, see `backlog.py`; 0 as long as nothing is known


@dataclass(slots=True)
class Ticket:
    """How urgent a piece of work is; travels with it through all stages. Its deadline may be put off on the way."""

    priority: Priority
    arrived: float  # time.monotonic() seconds
    deadline: float  # likewise
    work: Work = field(default_factory=Work, compare=False)


def ticket(priority: Priority, deadline: float, clock: Callable[[], float] = time.monotonic) -> Ticket:
    """A ticket for work that arrives now."""
    return Ticket(priority, clock(), deadline)


@dataclass(slots=True, eq=False)
class Job(Generic[P, R]):
    """One payload on its way through a stage."""

    payload: P
    ticket: Ticket
    queued: float
    size: Size = field(default_factory=Size)
    group: Hashable = None
    future: Future[R] = field(default_factory=Future)
    context: Context = field(default_factory=copy_context)  # of whoever queued it, for the log


class Place(Generic[P, R]):
    """Of one job, in all lines that it stands in; empty once it is taken, so that no line keeps its payload."""

    __slots__ = ("job",)

    def __init__(self, job: Job[P, R]) -> None:
        self.job: Job[P, R] | None = job


Kind: TypeAlias = tuple[Priority, Hashable, int]
"""Jobs of one kind may share a batch: their priority, group, and about their length."""


class Lines(Generic[P, R]):
    """Jobs by kind, first come first served."""

    def __init__(self) -> None:
        self._lines: dict[Kind, deque[Place[P, R]]] = {}

    def put(self, place: Place[P, R], kind: Kind) -> None:
        """At the end of its line."""
        self._lines.setdefault(kind, deque()).append(place)

    def first(self, kind: Kind) -> Place[P, R] | None:
        """Of this kind, if there is one."""
        line = self._lines.get(kind)
        while line:
            if line[0].job is not None:
                return line[0]
            line.popleft()
        self._lines.pop(kind, None)
        return None

    def any(self) -> Place[P, R] | None:
        """The first of some kind."""
        for kind in list(self._lines):
            if (place := self.first(kind)) is not None:
                return place
        return None


def kind_of(job: Job[P, R]) -> Kind:
    """Of which it is."""
    return job.ticket.priority, job.group, job.size.level


def like(job: Job[P, R]) -> Iterator[Kind]:
    """Those of which jobs may share a batch with it: of its length, then of about its length."""
    priority, group, level = kind_of(job)
    return ((priority, group, each) for each in ((level, level - 1, level + 1) if job.size.length else (level,)))
