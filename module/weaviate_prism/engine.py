"""The only door to everything below, for all doors alike: its life, requests checked, completed and handed on.

    a target's model -> profiles.py -> catalog.py -> vectorizing.py or reranking.py, on the threads of stages.py

Errors of single items come back as values in their place, so that their neighbours succeed; errors of
a whole request (unknown model, queue full, still loading) are raised. Knows nothing of wires or tensors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from weaviate_prism import __version__, reranking, vectorizing
from weaviate_prism.admission import Admission, Held, until_deadline
from weaviate_prism.catalog import Catalog
from weaviate_prism.config import Settings
from weaviate_prism.errors import PrismError, Unavailable
from weaviate_prism.fusion import check_positions
from weaviate_prism.intake import Intake, check_count, check_instruction
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import ModelError
from weaviate_prism.profiles import EMBEDDER, RERANKER, Profile
from weaviate_prism.recalling import Recalling
from weaviate_prism.scheduling.jobs import ticket
from weaviate_prism.scheduling.stages import Stages
from weaviate_prism.store import MediaStore, StoreError
from weaviate_prism.values import EngineInfo, Item, Priority, Seen, Target, Task, Vector

log = logging.getLogger(__name__)

T = TypeVar("T")


class Engine:
    """Vectorizes and reranks with the models of its settings. Used from one event loop.

    Raises:
        SettingsError: the profiles of the settings are wrong.
    """

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self._ready = False
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[str] = self._loop.create_future()
        self._started = False
        self._stages = Stages(settings, self.metrics, self._fail_from_thread)
        self._intake = Intake(settings, self.metrics)
        self._catalog = Catalog(settings, self.metrics, self._stages, self._intake.seen)
        self.profiles = self._catalog.profiles
        self._store = MediaStore(settings.media_store, settings.media_store_bytes, self.metrics)
        self._admission = Admission(settings, self.metrics)
        self._recalling = Recalling(settings, self.metrics, self._store, self._stages, self._admission)
        parts = (self._intake, self._stages, self._admission)
        self._vectorizing = vectorizing.Vectorizing(settings, self.metrics, *parts, self._store)
        self._reranking = reranking.Reranking(settings, self.metrics, *parts)

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Loads the models and runs each once; `ready` afterwards. A failure shows in `failed`."""
        try:
            await asyncio.to_thread(self._store.open)
            await self._catalog.start()
        except StoreError as error:
            self._fail(f"the media store cannot be used: {error}")
            return
        except Exception as error:
            if not isinstance(error, ModelError):  # its message says it all
                log.critical("the models could not be loaded", exc_info=error)
            self._fail(f"the models could not be loaded: {error}")
            return
        self._started = True
        self._ready = not self._failure.done()

    def ready(self) -> bool:
        """Whether every model that is not left for later is loaded, its thread alive, and nobody asked to drain."""
        return self._ready and not self._failure.done()

    async def failed(self) -> str:
        """Returns, with the reason, only when a model failed to load or its thread died."""
        return await asyncio.shield(self._failure)

    def drain(self) -> None:
        """Not ready any more; the doors finish what is in flight."""
        self._ready = False

    def close(self) -> None:
        """Ends the threads; what still waits fails with Unavailable."""
        self._ready = False
        self._catalog.close()
        self._stages.close()
        self._store.close()

    def loading(self) -> bool:
        """Whether a model is being loaded because of a request."""
        return self._catalog.loading

    def info(self) -> EngineInfo:
        return EngineInfo(
            __version__,
            self.ready(),
            self._catalog.models(),
            self._catalog.profile_infos(),
            self.settings.limits(),
            request_timeout=self.settings.request_timeout,
            media_store=bool(self.settings.media_store),
            clips_refused=self._catalog.clips_refused,
        )

    # -- work ---------------------------------------------------------------------------------

    async def vectorize(
        self,
        items: Sequence[Item | PrismError],
        *,
        task: Task,
        targets: Sequence[Target] = (Target(),),
        priority: Priority,
        deadline: float,
    ) -> list[list[Vector | PrismError]]:
        """For each target, one vector or error for each item that it reads, in their order.

        A vector is float32 [the target's dimensions], L2 norm 1. An item that the door itself could not
        read is handed over as its error and comes back in its place. What targets have in common is
        computed once. `deadline` is in time.monotonic() seconds. Cancelling drops the work.

        Raises:
            Unavailable, Overloaded, NotFound, Unsupported, InvalidInput, TooLarge: nothing can be computed
                at all; naming the target where it is one's fault.
            DeadlineExceeded, Internal: a model that is loaded on demand is not there in time, or cannot be loaded.
        """
        self._check_started()
        check_rows(len(items), len(targets), self.settings)
        profiles = [self._profile(number, target, len(items)) for number, target in enumerate(targets)]
        plans = [
            await self._plan(number, target, profile, task, deadline)
            for number, (target, profile) in enumerate(zip(targets, profiles, strict=True))
        ]
        request = vectorizing.Request(task, plans, ticket(priority, deadline))
        async with self._recalling.recalled(items, request.ticket) as whole:
            return await self._vectorizing.vectorize(whole, request)

    async def rerank(
        self,
        query: Item,
        documents: Sequence[Item | PrismError],
        *,
        model: str = "",
        instruction: str = "",
        deadline: float,
    ) -> list[float | PrismError]:
        """One score per document, in order, higher is better; or the document's error.

        Where the setting `rerank_bad_document` is `last`, a document that cannot be scored gets the
        lowest float32 instead of its error.

        Raises:
            Unavailable, Overloaded, NotFound, Unsupported: nothing can be scored at all.
            DeadlineExceeded, Internal: a model that is loaded on demand is not there in time, or cannot be loaded.
            InvalidInput, TooLarge: the query is wrong, or empty; or the model is no reranker.
        """
        self._check_started()
        profile = self.profiles.find(model, RERANKER)
        check_count(len(documents), self.settings)
        check_instruction(instruction)
        reranker = await self._catalog.reranker(profile, deadline)
        request = reranking.Request(
            reranker, instruction or profile.instruction, profile.video_frames, ticket(Priority.QUERY, deadline)
        )

        def seen(digest: str) -> Seen | None:
            return self._intake.seen.seen(reranker, digest, profile.video_frames)

        async with self._recalling.recalled([query, *documents], request.ticket, seen) as (asked, *ranked):
            assert isinstance(asked, Item)
            return await self._reranking.rerank(asked, ranked, request)

    def keeps_media(self, model: str = "") -> bool:
        """Whether digests may stand for media of documents that the reranker has scored, as long as there is room.

        Raises:
            NotFound, Unsupported, InvalidInput: there is no such reranker.
        """
        reranker = self._catalog.loaded(self.profiles.find(model, RERANKER))
        return reranker is not None and self._intake.seen.serves(reranker)

    def bytes_held(self) -> AbstractContextManager[Held]:
        """For doors: spans the time that a request's bytes are held."""
        return self._admission.bytes_held()

    async def run_in_pool(self, function: Callable[..., T], *args: Any, deadline: float) -> T:
        """CPU work of a door (parsing, base64), off the event loop and ahead of bulk decoding.

        Raises:
            DeadlineExceeded
        """
        async with until_deadline(deadline, "while the request waited to be read"):
            return await self._stages.on_cpu(lambda: function(*args), ticket(Priority.QUERY, deadline))

    # -- inside -------------------------------------------------------------------------------

    def _profile(self, number: int, target: Target, items: int) -> Profile:
        try:
            check_instruction(target.instruction)
            check_positions(target, items)
            return self.profiles.find(target.model, EMBEDDER)
        except PrismError as error:
            raise error.about(f"targets[{number}]") from None

    async def _plan(
        self, number: int, target: Target, profile: Profile, task: Task, deadline: float
    ) -> vectorizing.Plan:
        try:
            return vectorizing.plan(target, profile, task, await self._catalog.embedder(profile, deadline))
        except PrismError as error:
            raise error.about(f"targets[{number}]") from None

    def _check_started(self) -> None:
        if not self._started or self._failure.done():
            raise Unavailable("a model failed" if self._failure.done() else "the models are still loading")

    def _fail_from_thread(self, reason: str) -> None:
        self._loop.call_soon_threadsafe(self._fail, reason)

    def _fail(self, reason: str) -> None:
        if not self._failure.done():
            self._failure.set_result(reason)


def check_rows(items: int, targets: int, settings: Settings) -> None:
    """For doors too: an answer may have a row for each item and target, whatever the target reads.

    Raises:
        TooLarge
    """
    targets = max(1, targets)
    check_count(items * targets, settings, "items" if targets == 1 else f"items ({items} for {targets} targets)")
