"""What both doors share."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import NoReturn

import pytest

from weaviate_prism.errors import DeadlineExceeded, Internal, NotFound, Overloaded, PrismError
from weaviate_prism.metrics import Metrics
from weaviate_prism.server import requests as requests_module
from weaviate_prism.server.requests import TELL_SECONDS, DisconnectError, Requests, first


async def forever() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError


async def fail() -> NoReturn:
    raise DisconnectError


async def answer() -> int:
    return 1


async def test_the_first_result_cancels_the_rest() -> None:
    waiting = asyncio.all_tasks()
    assert await first(answer(), forever()) == 1
    with pytest.raises(DisconnectError):
        await first(forever(), fail())
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == waiting


async def test_an_answer_wins_over_a_client_that_leaves_at_the_same_time(caplog: pytest.LogCaptureFixture) -> None:
    assert await first(answer(), fail()) == 1
    await asyncio.sleep(0)
    assert not caplog.records


@pytest.mark.parametrize(
    ("raised", "seen", "outcome"),
    [
        (NotFound("x"), NotFound, "not_found"),
        (ZeroDivisionError("x"), Internal, "internal"),
        (DisconnectError(), DisconnectError, "cancelled"),
        (asyncio.CancelledError(), asyncio.CancelledError, "cancelled"),
    ],
)
async def test_every_end_of_a_request_is_counted(
    raised: BaseException, seen: type[BaseException], outcome: str
) -> None:
    metrics = Metrics()
    requests = Requests(metrics)
    with pytest.raises(seen), requests.one("door"):
        raise raised
    await requests.idle()
    labels = {"door": "door", "outcome": outcome}
    assert metrics.registry.get_sample_value("prism_requests_total", labels) == 1


def test_of_refusals_that_no_client_is_to_blame_for_one_in_a_while_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(requests_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    requests = Requests(Metrics())

    def told(error: PrismError) -> list[str]:
        caplog.clear()
        with pytest.raises(type(error)), requests.one("door"):
            raise error
        return [record.getMessage() for record in caplog.records]

    (message,) = told(Overloaded("full"))
    assert message.startswith("door: full; ")
    assert told(Overloaded("full")) == []
    assert len(told(DeadlineExceeded("late"))) == 1  # each kind by itself
    assert told(NotFound("no such model")) == []
    now[0] = TELL_SECONDS + 0.1
    requests.refused("door", Overloaded("still full"))
    assert [record.getMessage()[:16] for record in caplog.records] == ["door: still full"]
