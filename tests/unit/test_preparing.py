"""What inputs are made of, before a model reads them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from weaviate_prism.preparing import HASH_INLINE_BYTES, digests_of
from weaviate_prism.scheduling.jobs import Ticket, ticket
from weaviate_prism.values import Image, Priority


async def test_large_media_are_hashed_as_urgently_as_they_are_asked_for() -> None:
    asked: list[Ticket] = []

    async def on_cpu(function: Callable[[], Any], ticket: Ticket) -> Any:
        asked.append(ticket)
        return function()

    stages: Any = SimpleNamespace(on_cpu=on_cpu)
    insert = ticket(Priority.BULK, 1e9)
    picture = Image(bytes(HASH_INLINE_BYTES + 1))
    assert list(await digests_of([picture], stages, insert)) == [id(picture)]
    assert asked == [insert]
