"""The scheduler with a hand-made clock and no model: who goes first, with whom, and that nobody starves."""

from __future__ import annotations

import itertools
import random
import time
import weakref
from collections.abc import Hashable

import numpy as np
import pytest

from weaviate_prism.scheduling.batching import MOST_PADDING, QUANTUM_SECONDS, Limits, Size
from weaviate_prism.scheduling.jobs import AGED_TURN, AGEING_SECONDS, Job, Ticket, Work
from weaviate_prism.scheduling.pace import Pace
from weaviate_prism.scheduling.queries import Queries
from weaviate_prism.scheduling.scheduler import QUERIES_EXPECTED_SECONDS, JobQueue
from weaviate_prism.values import Priority

FAR = 1e9


def job(
    name: str,
    arrived: float,
    *,
    bulk: bool = False,
    size: Size | None = None,
    group: Hashable = None,
    deadline: float = FAR,
    work: Work | None = None,
) -> Job[str, str]:
    priority = Priority.BULK if bulk else Priority.QUERY
    return Job(name, Ticket(priority, arrived, deadline, work or Work()), arrived, size or Size(), group)


def of_length(length: int) -> Size:
    return Size.of(length, 0, length)


def queue_of(*jobs: Job[str, str], cost: int = 100, pace: Pace | None = None) -> JobQueue[str, str]:
    queue: JobQueue[str, str] = JobQueue(Limits(cost, pace), Queries())
    for one in jobs:
        queue.put(one)
    return queue


def paced(fixed: float = 0.0, token: float = 0.01) -> Pace:
    pace = Pace()
    pace.parts = np.array([fixed, 0.0, token, 0.0])
    return pace


def taken(queue: JobQueue[str, str], now: float = 0.0) -> list[str]:
    return [one.payload for one in queue.take(now)[0]]


def run(queue: JobQueue[str, str], began: float, ended: float) -> list[str]:
    """A batch, by the device."""
    batch, _ = queue.take(began)
    queue.ended(batch, ended)
    return [one.payload for one in batch]


def all_taken(queue: JobQueue[str, str], now: float = 0.0) -> list[list[str]]:
    batches = []
    while len(queue):
        batches.append(taken(queue, now))
    return batches


# -- who goes first ---------------------------------------------------------------------------


def test_a_query_overtakes_bulk_that_came_first_at_the_next_batch() -> None:
    inserts = [job(f"insert {n}", 0.0, bulk=True) for n in range(3)]
    queue = queue_of(*inserts, cost=1)
    assert taken(queue) == ["insert 0"]
    queue.put(job("query", 1.0))
    assert all_taken(queue, 1.0) == [["query"], ["insert 1"], ["insert 2"]]


def test_equals_go_in_order_of_arrival() -> None:
    queue = queue_of(*(job(name, at) for at, name in enumerate("abc")), cost=1)
    assert all_taken(queue) == [["a"], ["b"], ["c"]]


def test_the_request_with_the_least_left_goes_first() -> None:
    long, short = Work(3.0), Work(0.1)
    queue = queue_of(
        *(job(f"long {n}", 0.0, work=long) for n in range(2)),
        *(job(f"short {n}", 1.0, work=short) for n in range(2)),
        cost=1,
    )
    assert all_taken(queue) == [["short 0"], ["short 1"], ["long 0"], ["long 1"]]


def test_a_long_request_that_is_almost_done_is_finished_first() -> None:
    first, second = Work(3.0), Work(2.0)
    queue = queue_of(*(job(f"first {n}", 0.0, work=first) for n in range(3)), cost=1)
    assert taken(queue) == ["first 0"]
    queue.put(job("second", 1.0, work=second))
    first.seconds = 1.0
    assert all_taken(queue) == [["first 1"], ["first 2"], ["second"]]


def test_inserts_that_are_almost_done_are_finished_first_whatever_overtakes_them() -> None:
    first, second = Work(9.0), Work(5.0)
    queue = queue_of(*(job(f"first {n}", 0.0, bulk=True, work=first) for n in range(2)), cost=1)
    assert taken(queue) == ["first 0"]
    queue.put(job("second", 1.0, bulk=True, work=second))
    searches = [job(name, 1.0, work=work) for name, work in (("a", Work(0.1)), ("b", Work(0.2))) for _ in range(2)]
    for one in searches:
        queue.put(one)
    assert [taken(queue) for _ in searches] == [["a"], ["a"], ["b"], ["b"]]
    first.seconds = 1.0
    assert all_taken(queue) == [["first 1"], ["second"]]


def test_chunks_of_one_search_are_one_request() -> None:
    search, other = Work(2.0), Work(3.0)
    chunks = [job(f"chunk {n}", n, work=search) for n in (0.0, 2.0)]
    queue = queue_of(chunks[0], job("other", 1.0, work=other), chunks[1])
    assert taken(queue)[:2] == ["chunk 0.0", "chunk 2.0"]


def test_only_what_a_thread_may_take_is_considered() -> None:
    queue = queue_of(job("insert", 0.0, bulk=True), job("query", 0.0))
    for priority, names in ((Priority.BULK, ["insert"]), (Priority.BULK, []), (Priority.QUERY, ["query"])):
        assert [one.payload for one in queue.take(0.0, (priority,))[0]] == names


# -- nobody starves ---------------------------------------------------------------------------


@pytest.mark.parametrize("bulk", [True, False])
def test_what_is_large_or_an_insert_does_not_starve_under_a_steady_stream_of_short_queries(bulk: bool) -> None:
    """A query comes as often as one can be done."""
    work = Work(100.0)
    queue = queue_of(*(job(f"large {n}", 0.0, bulk=bulk, work=work, group="large") for n in range(10)), cost=1)
    done = []
    for turn in range(200):
        now = turn / 10
        queue.put(job("query", now, work=Work(0.1), group="query"))
        done += [(now, name) for name in taken(queue, now) if name != "query"]
    times = [at for at, _ in done]
    assert len(times) == 10
    assert times[0] >= AGEING_SECONDS
    assert max(after - before for before, after in itertools.pairwise(times)) <= AGED_TURN / 10 + 1e-9


def test_inserts_do_not_starve_though_a_thread_for_queries_takes_every_second_turn() -> None:
    queue = queue_of(*(job(f"insert {n}", 0.0, bulk=True) for n in range(5)), cost=1)
    done = []
    for turn in range(100):
        now = AGEING_SECONDS + turn / 10
        for _ in range(2):
            queue.put(job("query", now))
        for among in ((Priority.QUERY, Priority.BULK), (Priority.QUERY,)):
            done += [one.payload for one in queue.take(now, among)[0]]
    assert done.count("query") > 100
    assert sum(name.startswith("insert") for name in done) == 5


def test_however_much_has_waited_long_a_query_goes_within_two_batches() -> None:
    queue = queue_of(*(job(f"insert {n}", 0.0, bulk=True) for n in range(100)), cost=1)
    now = AGEING_SECONDS * 3
    for _ in range(20):
        queue.put(job("query", now))
        batches = [taken(queue, now) for _ in range(2)]
        assert ["query"] in batches


def test_the_turn_of_those_who_have_waited_is_not_used_up_by_those_who_have_gone() -> None:
    gone = [job("gone", 0.0, bulk=True, deadline=AGEING_SECONDS) for _ in range(10)]
    queue = queue_of(*gone, job("insert", 1.0, bulk=True), cost=1)
    now = 2 * AGEING_SECONDS
    for _ in range(AGED_TURN):
        queue.put(job("query", now))
    assert ["insert"] in [taken(queue, now) for _ in range(AGED_TURN)]


def test_who_came_first_has_waited_longest_though_it_was_queued_last() -> None:
    queue = queue_of(job("text", 5.0, bulk=True), job("clip", 0.0, bulk=True), cost=1)
    for _ in range(AGED_TURN):
        queue.put(job("query", AGEING_SECONDS))
    batches = [taken(queue, AGEING_SECONDS) for _ in range(AGED_TURN)]
    assert ["clip"] in batches
    assert ["text"] not in batches


def test_an_overloaded_queue_still_answers_everybody_once() -> None:
    jobs = [
        job(str(i), i / 1000, bulk=i % 3 > 0, size=of_length(1 + i % 7), group=i % 4, work=Work(i % 11))
        for i in range(5000)
    ]
    queue = queue_of(*jobs, cost=64)
    seen = [name for batch in all_taken(queue, now=20.0) for name in batch]
    assert sorted(seen) == sorted(one.payload for one in jobs)


def test_twenty_thousand_waiting_jobs_are_no_burden() -> None:
    """About 20 microseconds each; the bound is for a busy machine."""
    chance = random.Random(1)
    sizes = [of_length(chance.randrange(4, 400)) for _ in range(20_000)]
    jobs = [job("", n / 1000, bulk=True, size=size, work=Work(chance.random())) for n, size in enumerate(sizes)]
    began = time.process_time()
    queue = queue_of(*jobs, cost=2048)
    batches = all_taken(queue, now=30.0)
    assert sum(map(len, batches)) == len(jobs)
    assert (time.process_time() - began) / len(jobs) < 200e-6


# -- with whom --------------------------------------------------------------------------------


def test_a_batch_is_filled_from_the_leaders_group_only() -> None:
    queue = queue_of(job("t1", 0.0, group="text"), job("p", 0.1, group="picture"), job("t2", 0.2, group="text"))
    assert all_taken(queue) == [["t1", "t2"], ["p"]]


def test_a_query_does_not_wait_for_inserts_in_its_batch() -> None:
    queue = queue_of(job("insert", 0.0, bulk=True), job("query", 1.0), job("another", 1.0))
    assert all_taken(queue, 1.0) == [["query", "another"], ["insert"]]


def test_memory_bounds_a_batch() -> None:
    queue = queue_of(*(job(str(n), 0.0, size=Size.of(5, 5)) for n in range(5)), cost=20)
    assert all_taken(queue) == [["0", "1"], ["2", "3"], ["4"]]


def test_one_job_over_the_limits_runs_alone() -> None:
    assert taken(queue_of(job("huge", 0.0, size=Size.of(1000)), job("small", 0.1))) == ["huge"]


def test_like_lengths_share_batches_and_padding_is_little() -> None:
    chance = random.Random(2)
    jobs = {str(n): job(str(n), n / 1000, size=of_length(chance.randrange(4, 400))) for n in range(2000)}
    batches = all_taken(queue_of(*jobs.values(), cost=4096))
    padding = computed = 0
    for batch in batches:
        size = jobs[batch[0]].size
        for name in batch[1:]:
            size += jobs[name].size
        assert size.padding <= MOST_PADDING * size.computed
        padding, computed = padding + size.padding, computed + size.computed
    assert padding / computed <= MOST_PADDING
    assert len(jobs) / len(batches) > 10


def test_what_is_not_filled_up_shares_batches_whatever_its_length() -> None:
    queue = queue_of(*(job(str(tokens), 0.0, size=Size.of(tokens)) for tokens in (1, 50, 10)))
    assert all_taken(queue) == [["1", "50", "10"]]


def test_a_long_request_is_cut_while_others_wait_and_not_when_it_is_alone() -> None:
    work = Work(1.0)
    own = [job(str(n), 0.0, work=work) for n in range(60)]
    pace = paced(fixed=0.019)  # so that 36 of 10 ms are worth a batch
    alone = queue_of(*own, pace=pace)
    assert len(taken(alone)) == 36
    alone.put(job("other", 0.0, work=Work(2.0), group="other"))
    assert pace.seconds((1, len(taken(alone)), 0)) <= QUANTUM_SECONDS + 1e-6


def test_a_long_request_is_not_cut_for_inserts() -> None:
    works = {True: Work(2.0), False: Work(1.0)}
    jobs = [job(str(n), 0.0, bulk=bulk, work=work) for bulk, work in works.items() for n in range(60)]
    queue = queue_of(*jobs, pace=paced(fixed=0.019))
    assert len(taken(queue)) == 36


def test_a_short_request_is_not_cut_though_others_wait() -> None:
    short, long = Work(0.4), Work(9.0)
    jobs = [job("short", 0.0, work=short, size=Size(10)) for _ in range(4)]
    queue = queue_of(*(job("long", 0.0, work=long, size=Size(10)) for _ in range(9)), *jobs, pace=paced(fixed=0.1))
    assert taken(queue) == ["short"] * 4
    queue.put(job("other", 0.0, work=Work(99.0)))
    assert taken(queue) == ["long"]


def test_inserts_are_cut_while_queries_come() -> None:
    pace = paced(fixed=0.019)
    queue = queue_of(*(job(str(n), 0.0, bulk=True) for n in range(80)), pace=pace)
    assert len(taken(queue, 0.0)) == 36
    queue.put(job("query", 1.0))
    assert taken(queue, 1.0) == ["query"]
    assert len(taken(queue, 1.0)) == 3
    assert len(taken(queue, 1.1 + QUERIES_EXPECTED_SECONDS)) == 36


def test_inserts_are_cut_while_queries_of_another_model_come() -> None:
    one = queue_of(*(job(str(n), 0.0, bulk=True) for n in range(80)), pace=paced(fixed=0.019))
    other: JobQueue[str, str] = JobQueue(Limits(100), one._queries)
    assert len(taken(one, 0.0)) == 36
    other.put(job("query", 1.0))
    assert len(taken(one, 1.0)) == 3


@pytest.mark.parametrize(
    ("fixed", "pieces", "quiet", "while_queries_come"),
    [
        (0.019, 1, 36, 3),  # of 0.01 s each, in 0.38 and 0.05 s
        (0.019, 6, 36, 10),  # in 6 pieces of 0.02 s
        (0.019, 20, 36, 36),  # never more than without queries
        (0.1, 6, 100, 10),  # twice the fixed costs
    ],
)
def test_inserts_that_queries_overtake_between_pieces_are_cut_to_longer_batches(
    fixed: float, pieces: int, quiet: int, while_queries_come: int
) -> None:
    queue = queue_of(*(job(str(n), 0.0, bulk=True) for n in range(300)), pace=paced(fixed))
    queue.limits.pieces = pieces
    assert len(taken(queue, 0.0)) == quiet
    queue.put(job("query", 1.0))
    assert taken(queue, 1.0) == ["query"]
    assert len(taken(queue, 1.0)) == while_queries_come


def test_queries_are_cut_alike_whether_inserts_are_overtaken_or_not() -> None:
    works = Work(10.0), Work(11.0)
    queue = queue_of(*(job(str(n), 0.0, work=works[n % 2]) for n in range(100)), pace=paced(0.019))
    queue.limits.pieces = 6
    assert len(taken(queue)) == 3


def test_queries_that_overtake_inserts_leave_them_a_quarter_of_the_device() -> None:
    queue = queue_of(job("insert", 0.0, bulk=True))
    assert not queue.may_overtake(0.0)
    queue.put(job("query", 0.0))
    assert queue.may_overtake(0.0)
    queue.overtook(1.0, 1.3)
    assert [queue.may_overtake(now) for now in (1.3, 1.399, 1.401)] == [False, False, True]


def test_threads_that_take_one_job_each_are_not_held() -> None:
    queue = queue_of(job("query", 0.0), job("insert", 0.0, bulk=True))
    assert run(queue, 0.0, 0.0) == ["query"]
    assert queue.hold(0.0) == 0.0


def test_where_fixed_costs_are_more_than_a_quantum_batches_are_still_worth_them() -> None:
    queue = queue_of(*(job(str(n), 0.0, work=Work(n)) for n in range(60)), pace=paced(fixed=0.1))
    assert len(taken(queue)) == 10


def test_a_query_shares_its_batch_only_as_far_as_that_is_worth_the_fixed_costs() -> None:
    queue = queue_of(*(job(str(n), 0.0, work=Work(n)) for n in range(9)), pace=paced(fixed=0.002))
    assert len(taken(queue)) == 3


def test_queries_that_are_done_by_a_batch_share_it_though_it_is_longer_than_a_quantum() -> None:
    pace = paced(fixed=0.02, token=0.015)
    queue = queue_of(*(job(str(n), 0.0, work=Work(0.015)) for n in range(40)), pace=pace)
    assert len(taken(queue)) == 25
    queue = queue_of(*(job(str(n), 0.0, work=Work(0.5)) for n in range(16)), pace=pace)
    assert len(taken(queue)) == 2


# -- who is not run ---------------------------------------------------------------------------


def test_what_is_left_out_is_nowhere_any_more() -> None:
    queue = queue_of(job("first", 0.0), cost=1)
    place = queue.put(job("gone", 0.0))
    left_out = queue.leave_out(place)
    assert left_out is not None
    assert left_out.payload == "gone"
    assert queue.count(Priority.QUERY) == 1
    assert queue.leave_out(place) is None
    assert all_taken(queue) == [["first"]]
    alone = queue.put(job("alone", 0.0, work=(work := Work())))
    seen = weakref.ref(work)
    del work
    assert queue.leave_out(alone) is not None
    assert not len(queue)
    assert seen() is None


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


def test_what_waits_is_handed_back_when_a_queue_is_emptied() -> None:
    queue = queue_of(job("a", 0.0), job("b", 0.0, bulk=True))
    assert [one.payload for one in queue.drain()] == ["a", "b"]
    assert (len(queue), taken(queue)) == (0, [])
