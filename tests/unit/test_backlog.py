"""What is refused at once because it would come too late, with a hand-made clock."""

from __future__ import annotations

import contextlib
import sys
import threading
from concurrent.futures import Future

import pytest

from weaviate_prism.errors import DeadlineExceeded
from weaviate_prism.scheduling.backlog import Backlog
from weaviate_prism.scheduling.jobs import Ticket, Work
from weaviate_prism.values import Priority


class Service:
    """Its backlog, and a clock that stands still."""

    def __init__(self, threads: int = 1) -> None:
        self.now = 0.0
        self.refused = 0
        self.backlog = Backlog(threads, lambda: self.now, self._count)
        self.inside = contextlib.ExitStack()

    def enters(self, kind: str, count: int = 1, *, bulk: bool = True, patience: float = 50.0) -> Ticket:
        ticket = Ticket(Priority.BULK if bulk else Priority.QUERY, self.now, self.now + patience)
        self.inside.enter_context(self.backlog.entered([kind] * count, ticket))
        return ticket

    def has_done(self, kind: str, preparing: float, computing: float, times: int = 100) -> None:
        """Inputs one by one, each in so many seconds of a thread and of the device."""
        for _ in range(times):
            self._does(kind, preparing, computing)

    def _does(self, kind: str, preparing: float, computing: float) -> None:
        ticket = Ticket(Priority.BULK, self.now, self.now + 50)
        with self.backlog.entered([kind], ticket) as entry:

            def prepare(inputs: object) -> list[str]:
                self.now += preparing
                return []

            unit = entry.unit([kind])
            unit.timed(prepare)([])
            unit.prepared(computing, 1)

    def _count(self) -> None:
        self.refused += 1


def test_a_fresh_service_refuses_nothing() -> None:
    service = Service()
    for _ in range(1000):
        service.enters("picture", patience=0.001)
    assert service.refused == 0


def test_what_cannot_be_done_in_time_is_refused_by_name_and_what_can_waits() -> None:
    service = Service()
    service.has_done("picture", preparing=0.5, computing=0.1)
    for _ in range(100):
        service.enters("picture")
    with pytest.raises(DeadlineExceeded, match=r"too late: about 50 s of work go before it, it takes 0.5 s .* 50 s"):
        service.enters("picture")
    service.enters("picture", patience=60.0)
    assert service.refused == 1


def test_as_much_is_refused_as_there_is_too_much() -> None:
    service = Service()
    service.has_done("picture", preparing=0.0, computing=0.1)
    answered = 0
    for _ in range(5000):
        with contextlib.suppress(DeadlineExceeded):
            service.enters("picture", patience=50.05)
            answered += 1
    assert (answered, service.refused) == (500, 4500)


def test_a_short_query_is_not_refused_for_long_ones_that_it_overtakes() -> None:
    service = Service()
    service.has_done("document", preparing=0.0, computing=1.0)
    service.enters("document", 49, bulk=False)
    with pytest.raises(DeadlineExceeded):
        service.enters("document", 49, bulk=False)
    service.enters("document", 4, bulk=False, patience=5.0)


def test_queries_go_before_inserts_and_inserts_after_both() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=1.0)
    service.enters("text", 40)
    service.enters("text", 40, bulk=False)
    with pytest.raises(DeadlineExceeded, match="about 80 s"):
        service.enters("text", 40)
    with pytest.raises(DeadlineExceeded, match="about 40 s"):
        service.enters("text", 11)
    service.enters("text", 9)


def test_who_has_left_is_in_nobodys_way() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=1.0)
    ticket = service.enters("text", 50)
    assert ticket.work.seconds == pytest.approx(50)
    service.inside.close()
    assert ticket.work.seconds == 0
    service.enters("text", 50)
    assert service.refused == 0


def test_kinds_are_told_apart() -> None:
    service = Service()
    service.has_done("clip", preparing=10.0, computing=0.1)
    service.has_done("text", preparing=0.0, computing=0.001)
    assert service.backlog.guess("clip") == pytest.approx(10)
    assert service.backlog.guess("text") == pytest.approx(0.001)
    assert service.backlog.guess("picture") == 0


def test_threads_prepare_side_by_side_while_the_device_computes() -> None:
    service = Service(threads=4)
    service.has_done("picture", preparing=0.8, computing=0.1)
    assert service.backlog.guess("picture") == pytest.approx(0.2)


def test_a_guess_is_replaced_once_the_input_is_prepared() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=1.0)
    ticket = Ticket(Priority.QUERY, 0.0, 50.0)
    with service.backlog.entered(["text"] * 4, ticket) as entry:
        assert ticket.work.seconds == pytest.approx(4.0)
        entry.unit(["text"] * 4).prepared(0.4, 4)
        assert ticket.work.seconds == pytest.approx(0.4)
    assert ticket.work.seconds == 0


def test_a_wrong_guess_is_corrected_by_whoever_comes_alone() -> None:
    """The first may have waited for a library to be loaded."""
    service = Service()
    service.has_done("clip", preparing=1000.0, computing=0.1, times=1)
    service.has_done("clip", preparing=1.0, computing=0.1, times=10)
    assert service.backlog.guess("clip") < 1.3


def test_a_wrong_guess_is_corrected_though_nobody_is_ever_alone() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=0.01)
    service.has_done("clip", preparing=1000.0, computing=0.1, times=1)
    service.enters("text", bulk=False)
    service.has_done("clip", preparing=1.0, computing=0.1, times=10)
    assert service.backlog.guess("clip") < 1.3
    assert service.refused == 0


def test_one_that_was_slow_makes_nobody_refused() -> None:
    service = Service()
    service.has_done("picture", preparing=5.0, computing=0.1, times=1)
    for _ in range(32):
        service.enters("picture")
    assert service.refused == 0


def test_chunks_of_one_search_add_up() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=1.0)
    work = Work()
    chunks = [Ticket(Priority.QUERY, 0.0, 50.0, work) for _ in range(3)]
    for chunk in chunks:
        service.inside.enter_context(service.backlog.entered(["text"] * 4, chunk))
    assert work.seconds == pytest.approx(12)
    with service.backlog.entered(["text"] * 4, Ticket(Priority.QUERY, 0.0, 50.0, work)):
        assert work.seconds == pytest.approx(16)
    assert work.seconds == pytest.approx(12)


def test_what_is_left_of_a_request_falls_with_each_input_that_is_done() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=1.0)
    ticket, done = Ticket(Priority.QUERY, 0.0, 50.0), Future[None]()
    with service.backlog.entered(["text"] * 7, ticket) as entry:
        first, second = entry.unit(["text"] * 4), entry.unit(["text"] * 3)
        first.prepared(4.0, 4)
        first.done(done)
        assert ticket.work.seconds == pytest.approx(6.0)
        second.prepared(0.6, 3)
        assert ticket.work.seconds == pytest.approx(3.6)
        second.done(done)
        assert ticket.work.seconds == pytest.approx(3.4)
    assert ticket.work.seconds == 0


def test_nothing_is_left_of_what_cannot_be_prepared() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=1.0)
    ticket = Ticket(Priority.QUERY, 0.0, 50.0)
    with service.backlog.entered(["text"] * 4, ticket) as entry:
        entry.unit(["text"] * 4).prepared(0.0, 0)
        assert ticket.work.seconds == 0


def test_a_search_of_several_units_is_refused_as_a_whole() -> None:
    service = Service()
    service.has_done("document", preparing=0.0, computing=1.0)
    service.enters("document", 30, bulk=False)
    with pytest.raises(DeadlineExceeded, match="about 30 s of work go before it, it takes 40 s itself"):
        service.enters("document", 40, bulk=False)
    assert service.refused == 1


def test_what_others_compute_is_left_no_more_and_what_goes_on_for_others_is_given_back() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=1.0)
    ticket, done = Ticket(Priority.QUERY, 0.0, 50.0), Future[None]()
    with service.backlog.entered(["text"] * 8, ticket) as entry, entry.unit(["text"] * 4) as unit:
        unit.narrow(["text"] * 2)
        assert ticket.work.seconds == pytest.approx(6.0)
        unit.prepared(2.0, 2)
        unit.done(done)
        assert ticket.work.seconds == pytest.approx(5.0)
    assert ticket.work.seconds == 0
    unit.done(done)  # the device had it by then
    assert ticket.work.seconds == 0
    with service.backlog.entered(["text"] * 4, ticket) as entry, entry.unit(["text"] * 4) as unit:
        pass
    unit.prepared(4.0, 4)
    assert ticket.work.seconds == pytest.approx(4.0)
    for _ in range(4):
        unit.done(done)
    assert ticket.work.seconds == pytest.approx(0.0)


def test_threads_of_devices_and_the_event_loop_tell_of_the_same_work() -> None:
    service = Service()
    service.has_done("text", preparing=0.0, computing=0.001)
    work, done = Work(), Future[None]()

    def run() -> None:
        for _ in range(1000):
            with service.backlog.entered(["text"] * 4, Ticket(Priority.QUERY, 0.0, 50.0, work)) as entry:
                unit = entry.unit(["text"] * 4)
                unit.prepared(0.004, 4)
                for _ in range(4):
                    unit.done(done)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert work.seconds == pytest.approx(0.0, abs=1e-9)
    assert service.backlog.before(Ticket(Priority.BULK, 0.0, 50.0), 0.0) == pytest.approx(0.0, abs=1e-9)
