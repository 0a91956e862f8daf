"""What both doors share."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest

from weaviate_prism.errors import Internal, NotFound
from weaviate_prism.metrics import Metrics
from weaviate_prism.server.requests import DisconnectError, Requests, first


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
