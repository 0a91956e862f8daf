"""The scheduler with a hand-made clock and no model: who goes first, with whom, and who pays for a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence

import pytest

from weaviate_prism.errors import DeadlineExceeded, Internal, InvalidInput, TooLarge, Unavailable
from weaviate_prism.metrics import Metrics
from weaviate_prism.scheduler import AGEING_SECONDS, DeviceLost, Job, JobQueue, Stage, Ticket, ticket
from weaviate_prism.values import Priority

FAR = 1e9


def job(
    name: str,
    arrived: float,
    *,
    bulk: bool = False,
    cost: int = 1,
    group: Hashable = None,
    deadline: float = FAR,
) -> Job[str, str]:
    due = Ticket(Priority.BULK if bulk else Priority.QUERY, arrived, deadline)
    return Job(name, due, cost, group, arrived)


def queue_of(*jobs: Job[str, str], batch_cost: int = 100) -> JobQueue[str, str]:
    queue: JobQueue[str, str] = JobQueue(batch_cost)
    for one in jobs:
        queue.put(one)
    return queue


def taken(queue: JobQueue[str, str], now: float = 0.0) -> list[str]:
    return [one.payload for one in queue.take(now)[0]]


def test_a_query_overtakes_bulk_that_came_first() -> None:
    queue = queue_of(job("insert", 0.0, bulk=True, group=1), job("query", 1.0, group=2))
    assert [taken(queue), taken(queue)] == [["query"], ["insert"]]


def test_bulk_that_waited_long_enough_is_overtaken_no_more() -> None:
    queue = queue_of(job("insert", 0.0, bulk=True, group=1), job("query", AGEING_SECONDS + 0.1, group=2))
    assert taken(queue) == ["insert"]


def test_bulk_never_starves_under_a_steady_stream_of_queries() -> None:
    queue = queue_of(job("insert", 0.0, bulk=True, group="bulk"), batch_cost=1)
    second = 0
    while True:
        queue.put(job("query", float(second), group="query"))
        if taken(queue) == ["insert"]:
            break
        second += 1
        assert second <= AGEING_SECONDS + 1
    assert second == AGEING_SECONDS


def test_equals_go_in_order_of_arrival() -> None:
    queue = queue_of(*(job(name, 0.0) for name in "abc"), batch_cost=1)
    assert [taken(queue) for _ in "abc"] == [["a"], ["b"], ["c"]]


def test_a_batch_is_filled_from_the_leaders_group_only() -> None:
    queue = queue_of(job("t1", 0.0, group="text"), job("p", 0.1, group="picture"), job("t2", 0.2, group="text"))
    assert taken(queue) == ["t1", "t2"]
    assert taken(queue) == ["p"]


def test_padded_cost_bounds_a_batch() -> None:
    queue = queue_of(*(job(str(cost), 0.0, cost=cost) for cost in (10, 20, 50, 5)), batch_cost=60)
    assert taken(queue) == ["10", "20"]  # 50 would make it 3 x 50
    assert taken(queue) == ["50"]
    assert taken(queue) == ["5"]


def test_one_job_over_the_budget_runs_alone() -> None:
    assert taken(queue_of(job("huge", 0.0, cost=1000), job("small", 0.1))) == ["huge"]


def test_departed_callers_are_left_out() -> None:
    gone, here = job("gone", 0.0), job("here", 0.1)
    gone.future.cancel()
    queue = queue_of(gone, here)
    assert taken(queue) == ["here"]
    assert len(queue) == 0


def test_a_deadline_that_is_past_is_reported_and_not_run() -> None:
    batch, late = queue_of(job("late", 0.0, deadline=5.0), job("fine", 0.0)).take(now=6.0)
    assert [one.payload for one in batch] == ["fine"]
    assert [one.payload for one in late] == ["late"]


def test_an_overloaded_queue_still_answers_everybody_once() -> None:
    jobs = [job(str(i), i / 1000, bulk=i % 3 > 0, cost=1 + i % 7, group=i % 4) for i in range(5000)]
    queue = queue_of(*jobs, batch_cost=64)
    seen: list[str] = []
    while len(queue):
        seen += taken(queue)
    assert sorted(seen) == sorted(one.payload for one in jobs)


# -- stages: the same decisions, carried out by threads ---------------------------------------


def upper(batch: Sequence[str]) -> list[str]:
    return [name.upper() for name in batch]


class Gate:
    """A stage whose first batch, `gate`, runs until it is opened: what is submitted meanwhile queues up."""

    def __init__(self, run: Callable[[Sequence[str]], Sequence[str]], batch_cost: int = 100) -> None:
        self.opened, self.running = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []
        self.deaths: list[str] = []
        self.metrics = Metrics()
        self._run = run
        self.stage: Stage[str, str] = Stage(
            "test", self._held, metrics=self.metrics, batch_cost=batch_cost, on_death=self.deaths.append
        )
        self.first = self.stage.submit("gate", ticket(Priority.QUERY, FAR), group="gate")
        assert self.running.wait(5)

    def _held(self, batch: Sequence[str]) -> Sequence[str]:
        if "gate" in batch:
            self.running.set()
            assert self.opened.wait(5)
            return upper(batch)
        self.batches.append(list(batch))
        return self._run(batch)

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def test_jobs_that_wait_for_a_busy_device_share_its_next_batch() -> None:
    gate = Gate(upper)
    futures = [gate.stage.submit(name, ticket(Priority.BULK, FAR)) for name in "abcd"]
    gate.opened.set()
    assert [future.result(5) for future in futures] == ["A", "B", "C", "D"]
    assert gate.batches == [["a", "b", "c", "d"]]
    gate.stage.close()


@pytest.mark.parametrize("guilty", range(5))
def test_a_failing_batch_is_halved_until_only_the_guilty_job_fails(guilty: int) -> None:
    def run(batch: Sequence[str]) -> list[str]:
        if str(guilty) in batch:
            raise RuntimeError("secret details")
        return upper(batch)

    gate = Gate(run)
    futures = [gate.stage.submit(str(i), ticket(Priority.BULK, FAR)) for i in range(5)]
    gate.opened.set()
    for index, future in enumerate(futures):
        if index == guilty:
            assert isinstance(error := future.exception(5), Internal)
            assert "secret" not in error.message
        else:
            assert future.result(5) == str(index)
    assert gate.counted("prism_batch_splits_total", stage="test") >= 1
    assert not gate.deaths
    gate.stage.close()


def test_a_panic_of_native_code_fails_its_job_only() -> None:
    class PanicError(BaseException):
        """What PyO3 raises when Rust panics derives from BaseException."""

    def run(batch: Sequence[str]) -> list[str]:
        if "guilty" in batch:
            raise PanicError
        return upper(batch)

    gate = Gate(run)
    guilty, fine = (gate.stage.submit(name, ticket(Priority.QUERY, FAR)) for name in ("guilty", "fine"))
    gate.opened.set()
    assert isinstance(guilty.exception(5), Internal)
    assert fine.result(5) == "FINE"
    gate.stage.close()


def test_out_of_memory_halves_the_batch_and_names_the_job_that_never_fits() -> None:
    def run(batch: Sequence[str]) -> list[str]:
        if len(batch) > 2 or "huge" in batch:
            raise MemoryError
        return upper(batch)

    gate = Gate(run)
    futures = {name: gate.stage.submit(name, ticket(Priority.BULK, FAR)) for name in ("a", "b", "c", "huge", "d")}
    gate.opened.set()
    assert isinstance(futures.pop("huge").exception(5), TooLarge)
    assert {future.result(5) for future in futures.values()} == {"A", "B", "C", "D"}
    gate.stage.close()


def test_an_error_meant_for_the_client_arrives_as_it_is() -> None:
    def run(batch: Sequence[str]) -> list[str]:
        raise InvalidInput("not a picture")

    gate = Gate(run)
    future = gate.stage.submit("x", ticket(Priority.QUERY, FAR))
    gate.opened.set()
    assert isinstance(error := future.exception(5), InvalidInput)
    assert error.message == "not a picture"
    gate.stage.close()


def test_fewer_results_than_jobs_never_shift_answers() -> None:
    def run(batch: Sequence[str]) -> list[str]:
        return upper(batch)[:1]

    gate = Gate(run)
    futures = [gate.stage.submit(name, ticket(Priority.QUERY, FAR)) for name in "abc"]
    gate.opened.set()
    assert [future.result(5) for future in futures] == ["A", "B", "C"]  # each ran alone in the end
    gate.stage.close()


def test_a_lost_device_fails_everybody_and_is_reported() -> None:
    def run(batch: Sequence[str]) -> list[str]:
        raise DeviceLost("an illegal memory access")

    gate = Gate(run, batch_cost=2)
    futures = [gate.stage.submit(name, ticket(Priority.QUERY, FAR)) for name in "abcd"]
    gate.opened.set()
    assert all(isinstance(future.exception(5), (Internal, Unavailable)) for future in futures)
    gate.stage.join(5)
    assert len(gate.deaths) == 1
    with pytest.raises(Unavailable):
        gate.stage.submit("late", ticket(Priority.QUERY, FAR))


def test_deadlines_and_departures_are_counted() -> None:
    gate = Gate(upper)
    late = gate.stage.submit("late", ticket(Priority.QUERY, 0.0))
    gone = gate.stage.submit("gone", ticket(Priority.QUERY, FAR))
    last = gate.stage.submit("last", ticket(Priority.BULK, FAR))
    gone.cancel()
    gate.opened.set()
    assert isinstance(late.exception(5), DeadlineExceeded)
    assert last.result(5) == "LAST"
    assert gate.counted("prism_dropped_total", reason="deadline") == 1
    assert gate.counted("prism_dropped_total", reason="caller_gone") == 1
    gate.stage.close()


def test_closing_fails_what_waits_and_lets_what_runs_end() -> None:
    gate = Gate(upper)
    waiting = gate.stage.submit("waiting", ticket(Priority.QUERY, FAR))
    gate.stage.close()
    gate.opened.set()
    assert gate.first.result(5) == "GATE"
    assert isinstance(waiting.exception(5), Unavailable)
