"""The threads with no model: what they run together, who pays for a failure, and one wake-up for many jobs."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from weaviate_prism.errors import DeadlineExceeded, Internal, InvalidInput, TooLarge, Unavailable
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Prepared
from weaviate_prism.models.pauses import one_by_one, pausing
from weaviate_prism.scheduling import returning, scheduler, stages
from weaviate_prism.scheduling.batching import Limits
from weaviate_prism.scheduling.jobs import AGEING_SECONDS, Job, Ticket, ticket
from weaviate_prism.scheduling.pace import Pace
from weaviate_prism.scheduling.queries import Queries
from weaviate_prism.scheduling.scheduler import DeviceLost
from weaviate_prism.scheduling.stage import Stage
from weaviate_prism.scheduling.stages import ONE_THREAD_SECONDS, Device, all_done, size_of
from weaviate_prism.values import Priority

FAR = 1e9


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
            "test", self._held, metrics=self.metrics, limits=Limits(batch_cost), on_death=self.deaths.append
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
    assert gate.counted("prism_batch_splits_total", stage="test", model="") >= 1
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
    given_up = gate.stage.submit("given up", ticket(Priority.QUERY, 0.0))  # by a caller who knew the deadline, too
    gone.cancel()
    given_up.cancel()
    gate.opened.set()
    assert isinstance(late.exception(5), DeadlineExceeded)
    assert last.result(5) == "LAST"
    assert gate.counted("prism_dropped_total", reason="deadline") == 2
    assert gate.counted("prism_dropped_total", reason="caller_gone") == 1
    gate.stage.close()


def test_a_payload_is_let_go_as_soon_as_its_caller_has_gone() -> None:
    class Payload(str):
        __slots__ = ("__weakref__",)

    gate = Gate(upper)
    payload = Payload("x")
    seen, future = weakref.ref(payload), gate.stage.submit(payload, ticket(Priority.BULK, FAR))
    del payload
    assert gate.stage.waiting(Priority.BULK) == 1
    assert future.cancel()
    assert seen() is None
    assert gate.stage.waiting(Priority.BULK) == 0
    assert gate.counted("prism_queue_depth", stage="test", model="") == 0
    gate.opened.set()
    gate.stage.close()


def test_closing_fails_what_waits_and_lets_what_runs_end() -> None:
    gate = Gate(upper)
    waiting = gate.stage.submit("waiting", ticket(Priority.QUERY, FAR))
    gate.stage.close()
    assert gate.counted("prism_queue_depth", stage="test", model="") == 0
    gate.opened.set()
    assert gate.first.result(5) == "GATE"
    assert isinstance(waiting.exception(5), Unavailable)


def test_jobs_submitted_together_share_the_first_batch_of_an_idle_device() -> None:
    batches: list[list[str]] = []

    def run(batch: Sequence[str]) -> list[str]:
        batches.append(list(batch))
        return upper(batch)

    stage: Stage[str, str] = Stage("test", run, metrics=Metrics(), limits=Limits(100))
    jobs: list[Job[str, str]] = [Job(name, ticket(Priority.BULK, FAR), 0.0) for name in "abcd"]
    stage.submit_together(jobs)
    assert [job.future.result(5) for job in jobs] == ["A", "B", "C", "D"]
    assert batches == [["a", "b", "c", "d"]]
    stage.close()
    with pytest.raises(Unavailable):
        stage.submit_together(jobs)


def test_a_query_does_not_wait_for_a_job_of_an_insert() -> None:
    began, go_on = threading.Semaphore(0), threading.Event()

    def run(batch: Sequence[str]) -> list[str]:
        if batch[0].startswith("insert"):
            began.release()
            assert go_on.wait(5)
        return upper(batch)

    stage: Stage[str, str] = Stage("test", run, metrics=Metrics(), threads=2, for_queries=1, niceness=1)
    inserts = [stage.submit(f"insert {number}", ticket(Priority.BULK, FAR)) for number in range(4)]
    assert all(began.acquire(timeout=5) for _ in range(2))
    assert [stage.submit("query", ticket(Priority.QUERY, FAR)).result(5) for _ in range(3)] == ["QUERY"] * 3
    go_on.set()
    assert [insert.result(5) for insert in inserts] == [f"INSERT {number}" for number in range(4)]
    stage.close()


def test_many_queries_use_all_threads() -> None:
    """All must run at once, or none goes on."""
    together = threading.Barrier(3)

    def run(batch: Sequence[str]) -> list[str]:
        together.wait(5)
        return upper(batch)

    stage: Stage[str, str] = Stage("test", run, metrics=Metrics(), threads=2, for_queries=1)
    queries = [stage.submit("query", ticket(Priority.QUERY, FAR)) for _ in range(6)]
    assert [query.result(5) for query in queries] == ["QUERY"] * 6
    stage.close()


def test_only_threads_that_take_inserts_are_nice() -> None:
    def run(batch: Sequence[str]) -> list[int]:
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id())] * len(batch)

    stage: Stage[str, int] = Stage("test", run, metrics=Metrics(), for_queries=1, niceness=7)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    nice = [stage.submit("x", ticket(priority, FAR)).result(5) for priority in (Priority.BULK, Priority.QUERY)]
    assert nice == [max(before, 7), before]
    stage.close()


def test_a_short_batch_has_one_thread_and_a_query_leaves_some_to_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "usable_cores", lambda: 4)
    decoding, given = [0], queue.SimpleQueue[int]()
    inserts = threading.Event()
    inserts.set()

    def forward(batch: Sequence[Prepared], threads: int) -> npt.NDArray[np.float32]:
        given.put(threads)
        assert inserts.wait(5)
        return np.ones((len(batch), 1), np.float32)

    model: Any = SimpleNamespace(info=SimpleNamespace(kind="embedder", device="cpu"), forward=forward)
    device = Device(model, "", 100, Queries(), Metrics(), lambda reason: None, lambda: decoding[0])

    def threads(tokens: int) -> int:
        device.stage.submit(Prepared(None, tokens), ticket(Priority.QUERY, FAR)).result(5)
        return given.get()

    assert threads(1) == 4  # nothing is known
    device.learn()

    def threads_for(seconds: float) -> int:
        device.pace.parts = np.array([0.0, 0.0, seconds, 0.0])
        return threads(1)

    assert [threads_for(seconds) for seconds in (ONE_THREAD_SECONDS / 4.4, ONE_THREAD_SECONDS / 3.6)] == [1, 4]
    for decoding[0], left in ((1, 3), (2, 2), (9, 2), (0, 4)):
        assert threads_for(1.0) == left
    inserts.clear()
    bulk = [device.stage.submit(Prepared(None, 1000), ticket(Priority.BULK, FAR)) for _ in range(2)]
    assert given.get(timeout=5) == 4
    query = device.stage.submit(Prepared(None, 1), ticket(Priority.QUERY, FAR))
    device.pace.parts = np.array([0.0, 0.0, 1.0, 0.0])
    inserts.set()
    for future in (*bulk, query):
        future.result(5)
    assert [given.get(), given.get()] == [3, 4]  # the query, while another insert waits
    device.stage.close()


class Pausing:
    """A device whose batches pause before each of their steps; `before` is told which step comes.

    Those of queries have three steps of a second, those of inserts five of 0.4 s.
    """

    def __init__(self, before: Callable[[str], object], beside: Pausing | None = None) -> None:
        self.steps: list[str] = beside.steps if beside else []
        self.time: SimpleNamespace = beside.time if beside else SimpleNamespace(now=0.0)
        self.queries: Queries = beside.queries if beside else Queries()
        self.overtaken = 0.0
        self.deaths: list[str] = []
        self._before = before
        self.stage: Stage[str, str] = Stage(
            "device",
            self._run,
            metrics=Metrics(),
            queries=self.queries,
            clock=lambda: self.time.now,
            on_death=self.deaths.append,
        )

    def _run(self, batch: Sequence[str]) -> list[str]:
        (name,) = batch
        steps, seconds = (5, 0.4) if name.startswith("insert") else (3, 1.0)
        for step in range(steps):
            self._before(f"{name} {step}")
            self.overtaken += self.stage.overtake()
            self.steps.append(f"{name} {step}")
            self.time.now += seconds
        return upper(batch)

    def submit(self, name: str, priority: Priority = Priority.QUERY) -> Future[str]:
        return self.stage.submit(name, Ticket(priority, self.time.now, FAR))


def test_queries_overtake_inserts_wherever_these_pause_and_have_had_their_part() -> None:
    queries: list[Future[str]] = []

    def before(step: str) -> None:
        if step in ("insert 1", "first 1"):
            queries.append(device.submit("first" if step == "insert 1" else "second"))

    device = Pausing(before)
    assert device.submit("insert", Priority.BULK).result(5) == "INSERT"
    assert [query.result(5) for query in queries] == ["FIRST", "SECOND"]
    by_first, by_second = ([f"{name} {step}" for step in range(3)] for name in ("first", "second"))
    # a third of the time that the first took is two steps and a half
    assert device.steps == ["insert 0", *by_first, "insert 1", "insert 2", "insert 3", *by_second, "insert 4"]
    assert device.overtaken == pytest.approx(6.0)
    device.stage.close()
    device.stage.join(5)
    assert device.stage.running(Priority.QUERY) == device.stage.running(Priority.BULK) == 0


class Neighbours:
    """Two models on one device: one has an insert, during which the other gets queries."""

    def __init__(self, before: Callable[[str], object]) -> None:
        self._before = before
        self.inserting = Pausing(self._each)
        self.searching = Pausing(self._each, beside=self.inserting)
        self._began = threading.Event()

    def _each(self, step: str) -> None:
        if not step.startswith("insert"):
            self._began.set()
            time.sleep(0.02)  # for whoever does not wait
        self._before(step)

    def search(self, *names: str) -> list[Future[str]]:
        """The first is running."""
        self._began.clear()
        futures = [self.searching.submit(name) for name in names]
        assert self._began.wait(5)
        return futures

    def close(self) -> None:
        for model in (self.inserting, self.searching):
            model.stage.close()
            model.stage.join(5)


def test_inserts_leave_the_device_to_queries_of_other_models_until_they_have_had_none_of_it_for_long() -> None:
    queries: list[Future[str]] = []
    goes_on = threading.Event()

    def before(step: str) -> None:
        if step == "insert 1":
            queries.extend(models.search("first", "second"))
        if step == "second 0":  # there at once
            assert goes_on.wait(5)
        if step == "insert 4":
            goes_on.set()

    models = Neighbours(before)
    assert models.inserting.submit("insert", Priority.BULK).result(5) == "INSERT"
    assert [query.result(5) for query in queries] == ["FIRST", "SECOND"]
    by_first, by_second = ([f"{name} {step}" for step in range(3)] for name in ("first", "second"))
    models.close()
    # a third of the three seconds of the first is two steps and a half
    assert models.inserting.steps == ["insert 0", *by_first, "insert 1", "insert 2", "insert 3", *by_second, "insert 4"]


def test_inserts_that_wait_for_queries_of_another_model_are_overtaken_by_those_of_their_own() -> None:
    queries: list[Future[str]] = []

    def before(step: str) -> None:
        if step == "insert 1":
            queries.extend(models.search("other"))
        if step == "other 0":
            assert models.inserting.submit("own").result(5) == "OWN"

    models = Neighbours(before)
    assert models.inserting.submit("insert", Priority.BULK).result(5) == "INSERT"
    assert queries[0].result(5) == "OTHER"
    models.close()


def test_queries_of_one_model_do_not_wait_for_those_of_another() -> None:
    together = threading.Barrier(2)
    models = Neighbours(lambda step: together.wait(5) if step.endswith("0") else None)
    futures = [model.submit(name) for model, name in ((models.inserting, "one"), (models.searching, "other"))]
    assert [future.result(5) for future in futures] == ["ONE", "OTHER"]
    models.close()


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_inserts_do_not_begin_while_queries_of_another_model_have_the_device(kind: str) -> None:
    began: queue.SimpleQueue[str] = queue.SimpleQueue()
    goes_on, queries = threading.Event(), Queries()

    def device(name: str) -> Device:
        def forward(batch: Sequence[Prepared], threads: int) -> npt.NDArray[np.float32]:
            began.put(name)
            assert name == "inserting" or goes_on.wait(5)
            return np.ones((len(batch), 1), np.float32)

        model: Any = SimpleNamespace(info=SimpleNamespace(kind=name, device=kind), forward=forward)
        return Device(model, "", 100, queries, Metrics(), lambda reason: None, lambda: 0)

    inserting, searching = device("inserting"), device("searching")
    query = searching.stage.submit(Prepared(None, 1), ticket(Priority.QUERY, FAR))
    assert began.get(timeout=5) == "searching"
    insert = inserting.stage.submit(Prepared(None, 1), ticket(Priority.BULK, FAR))
    with pytest.raises(queue.Empty):
        began.get(timeout=0.1)
    goes_on.set()
    for future in (query, insert):
        future.result(5)
    assert began.get() == "inserting"
    for each in (inserting, searching):
        each.stage.close()


def test_inserts_overtake_nobody_however_long_they_have_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "AGED_TURN", 1)
    others: list[Future[str]] = []

    def before(step: str) -> None:
        if step == "insert 1":
            others.append(device.submit("insert-b", Priority.BULK))
            device.time.now += AGEING_SECONDS + 1
            others.append(device.submit("query"))

    device = Pausing(before)
    assert device.submit("insert", Priority.BULK).result(5) == "INSERT"
    assert [other.result(5) for other in others] == ["INSERT-B", "QUERY"]
    assert device.steps[:5] == ["insert 0", "query 0", "query 1", "query 2", "insert 1"]
    device.stage.close()


def overtaken_by_a_query_that_meets(error: BaseException) -> tuple[Pausing, Future[str], Future[str]]:
    """The device, the insert, which has ended, and the query that overtook it."""
    queries: list[Future[str]] = []

    def before(step: str) -> None:
        if step == "insert 1":
            queries.append(device.submit("query"))
        if step.startswith("query"):
            raise error

    device = Pausing(before)
    insert = device.submit("insert", Priority.BULK)
    insert.exception(5)
    return device, insert, queries[0]


def test_a_query_that_fails_does_not_fail_the_insert_that_it_overtakes() -> None:
    device, insert, query = overtaken_by_a_query_that_meets(InvalidInput("cannot be read"))
    assert insert.result(5) == "INSERT"
    assert isinstance(query.exception(5), InvalidInput)
    device.stage.close()


def test_a_device_that_is_lost_to_a_query_is_lost_to_the_insert_that_it_overtakes() -> None:
    device, insert, query = overtaken_by_a_query_that_meets(DeviceLost("CUDA error"))
    assert isinstance(insert.exception(5), Internal)
    device.stage.join(5)
    assert isinstance(query.exception(5), Internal)
    assert len(device.deaths) == 1
    assert device.queries.running == 0  # or inserts of other models would wait for ever


def test_a_pass_pauses_before_each_layer() -> None:
    told: list[str] = []
    with pausing(lambda: told.append("pause")):
        told.extend(one_by_one("ab"))
    told.extend(one_by_one("c"))
    assert told == ["pause", "a", "pause", "b", "c"]


@pytest.mark.parametrize(("kind", "first", "pieces"), [("cpu", 1, 3), ("cuda", 7, 1)])
def test_queries_overtake_inserts_on_a_cpu_whose_pace_is_learnt_without_them(
    kind: str, first: int, pieces: int
) -> None:
    """The insert has 7 tokens and 4 layers, the query 1 token and 3 layers of 0.2 s."""
    queries: list[Future[Any]] = []

    def forward(batch: Sequence[Prepared], threads: int) -> npt.NDArray[np.float32]:
        (one,) = batch
        for layer in one_by_one(range(one.patches)):
            if one.tokens == 1:
                time.sleep(0.2)
            elif layer == 0:
                queries.append(device.stage.submit(Prepared(None, 1, 3), ticket(Priority.QUERY, FAR)))
        return np.ones((1, 1), np.float32)

    model: Any = SimpleNamespace(info=SimpleNamespace(kind="embedder", device=kind), forward=forward)
    device = Device(model, "", 100, Queries(), Metrics(), lambda reason: None, lambda: 0)
    device.stage.submit(Prepared(None, 7, 4), ticket(Priority.BULK, FAR)).result(5)
    queries[0].result(5)
    assert device.runs is not None
    took = {tokens: seconds for (_, tokens, _), seconds in device.runs}
    assert next(iter(took)) == first  # to end
    assert took[7] < 0.5 < took[1]
    assert device.limits.pieces == pieces  # of the pass with fewest, on a CPU
    device.stage.close()


def test_a_device_waits_for_those_whom_it_answered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "SOON_SECONDS", 1.0)  # on a machine that does much else
    batches: list[list[str]] = []

    def run(batch: Sequence[str]) -> list[str]:
        batches.append(list(batch))
        return upper(batch)

    pace = Pace()
    pace.parts = np.array([1.0, 0.0, 0.0, 0.0])
    stage: Stage[str, str] = Stage("device", run, metrics=Metrics(), limits=Limits(100, pace))
    together: list[Job[str, str]] = [Job(name, ticket(Priority.QUERY, FAR), 0.0) for name in "ab"]
    stage.submit_together(together)
    assert [job.future.result(5) for job in together] == ["A", "B"]
    again = [stage.submit(name, ticket(Priority.QUERY, FAR)) for name in "cd"]
    assert [future.result(5) for future in again] == ["C", "D"]
    assert stage.submit("e", ticket(Priority.QUERY, FAR)).result(5) == "E"  # though nobody else comes
    assert batches == [["a", "b"], ["c", "d"], ["e"]]
    stage.close()


def test_only_devices_count_their_batches() -> None:
    metrics = Metrics()
    cpu: Stage[str, str] = Stage("cpu", upper, metrics=metrics)
    device: Stage[str, str] = Stage("device", upper, metrics=metrics, limits=Limits(1, Pace()))
    for stage in (cpu, device):
        stage.submit("x", ticket(Priority.QUERY, FAR)).result(5)
        stage.close()
        stage.join(5)
    counted = {
        name: metrics.registry.get_sample_value("prism_batch_items_count", {"stage": name, "model": ""})
        for name in ("cpu", "device")
    }
    assert counted == {"cpu": None, "device": 1}


def test_tokens_and_what_they_are_filled_up_with_are_counted() -> None:
    def forward(batch: Sequence[Prepared], threads: int) -> npt.NDArray[np.float32]:
        return np.ones((len(batch), 1), np.float32)

    metrics, ours = Metrics(), ticket(Priority.BULK, FAR)
    model: Any = SimpleNamespace(info=SimpleNamespace(kind="reranker", device="cpu"), forward=forward)
    device = Device(model, "name", 100, Queries(), metrics, lambda reason: None, lambda: 0)
    inputs = [Prepared(None, length, length=length) for length in (20, 18)]
    jobs: list[Job[Prepared, Any]] = [Job(each, ours, 0.0, size_of(each)) for each in inputs]
    device.stage.submit_together(jobs)
    for job in jobs:
        job.future.result(5)
    read = metrics.registry.get_sample_value
    counted = {of: read("prism_tokens_total", {"model": "name", "of": of}) for of in ("input", "padding")}
    assert counted == {"input": 38, "padding": 2}
    device.stage.close()


async def test_whoever_waits_for_many_is_woken_once_all_have_ended() -> None:
    futures: list[Future[int]] = [Future() for _ in range(3)]
    waiting = asyncio.ensure_future(all_done(futures))
    await asyncio.sleep(0)
    futures[2].set_result(2)
    futures[0].set_exception(Internal("failed"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    futures[1].set_result(1)
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(all_done(futures), 1)
    await asyncio.wait_for(all_done([]), 1)


async def test_whoever_stops_waiting_for_many_cancels_those_that_have_not_begun(
    caplog: pytest.LogCaptureFixture,
) -> None:
    futures: list[Future[int]] = [Future() for _ in range(3)]
    assert futures[0].set_running_or_notify_cancel()
    waiting = asyncio.ensure_future(all_done(futures))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [future.cancelled() for future in futures] == [False, True, True]
    futures[0].set_result(0)
    assert not caplog.records
