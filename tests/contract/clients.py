"""Both Python clients behind the same plain calls."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from weaviate_prism.client import AsyncPrismClient, PrismClient

# A client whose verbs return; with the options of `PrismClient`.
Open: TypeAlias = Callable[..., contextlib.AbstractContextManager[Any]]


class Awaited:
    """An `AsyncPrismClient` in an event loop of its own."""

    def __init__(self, client: AsyncPrismClient, runner: asyncio.Runner) -> None:
        self._client, self._runner = client, runner

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._runner.run(getattr(self._client, verb)(*args, **kwargs))

        return call


@contextlib.contextmanager
def awaited(address: str, **options: Any) -> Iterator[Awaited]:
    with asyncio.Runner() as runner:
        client = Awaited(AsyncPrismClient(address, **options), runner)
        yield client
        client.close()


OPENERS: dict[str, Open] = {"sync": functools.partial(PrismClient), "async": awaited}
