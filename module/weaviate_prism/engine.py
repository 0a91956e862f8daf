"""The only door to everything below, for all doors alike: models and their life, requests checked and handed on.

    vectorize -> vectorizing.py, rerank -> reranking.py; both on the threads of stages.py

Errors of single items come back as values in their place, so that their neighbours succeed; errors of
a whole request (unknown model, queue full, still loading) are raised. Knows nothing of wires or tensors.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from weaviate_prism import __version__, reranking, vectorizing, video
from weaviate_prism.admission import Admission, Held, until_deadline
from weaviate_prism.config import Settings
from weaviate_prism.errors import NotFound, PrismError, Unavailable, Unsupported
from weaviate_prism.fusion import check_positions, fusion_of
from weaviate_prism.intake import Intake, check_count, check_instruction
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Embedder, ModelError, Reranker
from weaviate_prism.models.registry import Models, is_fake, load_models
from weaviate_prism.recalling import Recalling
from weaviate_prism.room import until
from weaviate_prism.scheduler import ticket
from weaviate_prism.stages import Stages
from weaviate_prism.store import MediaStore, StoreError
from weaviate_prism.values import EngineInfo, Fusion, Item, Modality, ModelInfo, Priority, Target, Task, Text, Vector

log = logging.getLogger(__name__)

T = TypeVar("T")


class Engine:
    """Vectorizes and reranks with the models of its settings. Used from one event loop."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self._models: Models | None = None
        self._ready = False
        self._clips_refused = ""
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[str] = self._loop.create_future()
        self._stages = Stages(settings, self.metrics, self._fail_from_thread)
        self._intake = Intake(settings, self.metrics)
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
            self._models = await asyncio.to_thread(load_models, self.settings)
            for kind, model in self._models.by_kind():
                self._stages.add(kind, model)
                self.metrics.model_info.labels(kind, model.info.name, model.info.tier).set(1)
            if self._models.reranker:
                self._intake.seen.serve(self._models.reranker)
            await asyncio.gather(self._warm_up(), self._warm_up_clips())
        except StoreError as error:
            self._fail(f"the media store cannot be used: {error}")
            return
        except Exception as error:
            if not isinstance(error, ModelError):  # its message says it all
                log.critical("the models could not be loaded", exc_info=error)
            self._fail(f"the models could not be loaded: {error}")
            return
        self._ready = not self._failure.done()

    def ready(self) -> bool:
        """Whether every model is loaded, its thread alive, and nobody asked to drain."""
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
        self._stages.close()
        self._store.close()

    def info(self) -> EngineInfo:
        models = [model.info for _, model in self._models.by_kind()] if self._models else []
        return EngineInfo(
            __version__,
            self.ready(),
            models,
            self.settings.limits(),
            request_timeout=self.settings.request_timeout,
            media_store=bool(self.settings.media_store),
            clips_refused=self._clips_refused,
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
        """
        embedder = self._embedder()
        check_rows(len(items), len(targets), self.settings)
        fusions = [self._fusion(number, target, embedder, len(items)) for number, target in enumerate(targets)]
        request = vectorizing.Request(embedder, task, targets, fusions, ticket(priority, deadline))
        with until(deadline):
            async with self._recalling.recalled(items, request.ticket) as whole:
                self._intake.count(embedder.info.kind, whole)
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
            InvalidInput, TooLarge: the query is wrong, or empty.
        """
        reranker = self._reranker(model)
        check_count(len(documents), self.settings)
        check_instruction(instruction)
        request = reranking.Request(reranker, instruction, ticket(Priority.QUERY, deadline))
        with until(deadline):
            seen = functools.partial(self._intake.seen.modality, reranker)
            async with self._recalling.recalled([query, *documents], request.ticket, seen) as (asked, *ranked):
                assert isinstance(asked, Item)
                return await self._reranking.rerank(asked, ranked, request)

    def keeps_media(self, model: str = "") -> bool:
        """Whether digests may stand for media of documents that the reranker has scored, as long as there is room.

        Raises:
            Unavailable, NotFound, Unsupported: there is no such reranker.
        """
        return self._intake.seen.serves(self._reranker(model))

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

    def _fusion(self, number: int, target: Target, embedder: Embedder, items: int) -> Fusion:
        try:
            _check_model(target.model, embedder.info)
            check_instruction(target.instruction)
            check_positions(target, items)
            return fusion_of(target, embedder)
        except PrismError as error:
            raise error.about(f"targets[{number}]") from None

    def _embedder(self) -> Embedder:
        embedder = self._loaded().embedder
        if embedder is None:
            raise Unsupported("no embedder is loaded (setting `embedder`)")
        return embedder

    def _reranker(self, model: str) -> Reranker:
        reranker = self._loaded().reranker
        if reranker is None:
            raise Unsupported("no reranker is loaded (setting `reranker`)")
        _check_model(model, reranker.info)
        return reranker

    def _loaded(self) -> Models:
        if self._models is None or self._failure.done():
            raise Unavailable("a model failed" if self._failure.done() else "the models are still loading")
        return self._models

    def _fail_from_thread(self, reason: str) -> None:
        self._loop.call_soon_threadsafe(self._fail, reason)

    def _fail(self, reason: str) -> None:
        if not self._failure.done():
            self._failure.set_result(reason)

    async def _warm_up(self) -> None:
        """Runs every model that reads text once, so that the first request does not pay for lazy initialisation."""
        deadline = time.monotonic() + 600.0
        models, text = self._loaded(), Item((Text("warm-up"),))
        answers: list[object] = []
        if models.embedder and Modality.TEXT in models.embedder.info.modalities:
            (vectors,) = await self.vectorize([text], task=Task.QUERY, priority=Priority.QUERY, deadline=deadline)
            answers += vectors
        if models.reranker and Modality.TEXT in models.reranker.info.modalities:
            answers += await self.rerank(text, [text], deadline=deadline)
        for answer in answers:
            if isinstance(answer, PrismError):
                raise answer

    async def _warm_up_clips(self) -> None:
        """Imports torchcodec where clips are to be expected: the first one would wait for it, up to 14 s under load."""
        infos = [model.info for _, model in self._loaded().by_kind()]
        if any(Modality.VIDEO in info.modalities and not is_fake(info.name) for info in infos):
            try:
                await asyncio.to_thread(video.import_torchcodec)
            except Unsupported as error:
                self._clips_refused = error.message
                log.warning("clips will be refused: %s", error.message)


def check_rows(items: int, targets: int, settings: Settings) -> None:
    """For doors too: an answer may have a row for each item and target, whatever the target reads.

    Raises:
        TooLarge
    """
    targets = max(1, targets)
    check_count(items * targets, settings, "items" if targets == 1 else f"items ({items} for {targets} targets)")


def _check_model(wanted: str, info: ModelInfo) -> None:
    if wanted and wanted != info.name:
        raise NotFound(f"model {wanted!r} is not loaded; the {info.kind} is {info.name!r}")
