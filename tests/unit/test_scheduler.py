"""The scheduler with a hand-made clock and no model: who goes first, and with whom."""

from __future__ import annotations

from collections.abc import Hashable

from weaviate_prism.scheduler import AGEING_SECONDS, Job, JobQueue, Ticket
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
