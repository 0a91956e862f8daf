"""The only door to everything below: limits, caches, decoding, batching and models, for all doors alike.

    item -> checked -> digest -> cache -> [cpu stage] decoded, prepared -> [device stage] batched, run -> vector

Errors of single items come back as values in their place, so that their neighbours succeed; errors of
a whole request (unknown model, queue full, still loading) are raised. Knows nothing of wires or tensors.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from weaviate_prism import __version__
from weaviate_prism.cache import EmbeddingCache
from weaviate_prism.config import Settings
from weaviate_prism.cores import usable_cores
from weaviate_prism.errors import (
    DeadlineExceeded,
    Internal,
    InvalidInput,
    NotFound,
    Overloaded,
    PrismError,
    TooLarge,
    Unavailable,
    Unsupported,
)
from weaviate_prism.intake import Intake, check_count, check_instruction, digest, size_of
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Content, Embedder, ModelError, Prepared, Reranker
from weaviate_prism.models.registry import Models, load_models
from weaviate_prism.scheduler import Stage, Ticket, ticket
from weaviate_prism.values import EngineInfo, Item, Modality, ModelInfo, Part, Priority, Target, Task, Text, Vector

log = logging.getLogger(__name__)

T = TypeVar("T")
CpuStage = Stage[Callable[[], Any], Any]
DeviceStage = Stage[Prepared, npt.NDArray[np.float32]]

# Inputs of one kind of work (queries, bulk, documents) that may be decoded and not yet run. A batch is some 10
# pictures, so a device never waits; a prepared picture of 640x480 takes 7.4 MB, one of 1,800 tokens 43 MB.
PREPARED_AHEAD = 128
# Hashing this much takes about 0.2 ms: more is not done on the event loop.
HASH_INLINE_BYTES = 256 * 1024
# Items of one request that start in one turn of the event loop: 10,000 at once held it for 1.5 s.
TASKS_AT_ONCE = 64
# What a document that cannot be scored gets, where such are ranked last: below any score of any model.
LOWEST_SCORE = float(np.finfo(np.float32).min)


class Engine:
    """Vectorizes and reranks with the models of its settings. Used from one event loop."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self._intake = Intake(settings, self.metrics)
        self._cache = EmbeddingCache(settings.cache_bytes, self.metrics)
        self._models: Models | None = None
        self._ready = False
        self._in_flight = 0
        self._ahead = {priority: asyncio.Semaphore(PREPARED_AHEAD) for priority in Priority}
        self._documents_ahead = asyncio.Semaphore(PREPARED_AHEAD)
        self._failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._cpu: CpuStage = Stage(
            "cpu",
            lambda jobs: [job() for job in jobs],
            metrics=self.metrics,
            threads=max(1, usable_cores() - 1),
            on_death=self._fail_from_thread,
        )
        self._devices: dict[str, DeviceStage] = {}

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Loads the models and runs each once; `ready` afterwards. A failure shows in `failed`."""
        try:
            self._models = await asyncio.to_thread(load_models, self.settings)
            for name, model in self._models.by_kind():
                self._devices[name] = self._device_stage(name, model)
            await self._warm_up()
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
        self._cpu.close()
        for stage in self._devices.values():
            stage.close()
        for stage in self._devices.values():
            stage.join(timeout=5.0)

    def info(self) -> EngineInfo:
        models = [model.info for _, model in self._models.by_kind()] if self._models else []
        return EngineInfo(__version__, self.ready(), models, self.settings.limits())

    async def run_in_pool(self, function: Callable[..., T], *args: Any, deadline: float) -> T:
        """CPU work of a door (parsing, base64), off the event loop and ahead of bulk decoding.

        Raises:
            DeadlineExceeded
        """
        due = ticket(Priority.QUERY, deadline)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                result: T = await asyncio.wrap_future(self._cpu.submit(lambda: function(*args), due))
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the request waited to be read") from None
        return result

    # -- vectorizing --------------------------------------------------------------------------

    async def vectorize(
        self,
        items: Sequence[Item | PrismError],
        *,
        task: Task,
        target: Target = Target(),  # noqa: B008 - frozen
        priority: Priority,
        deadline: float,
    ) -> list[Vector | PrismError]:
        """One vector per item, in order: float32 [dimensions], L2 norm 1; or the item's error.

        An item that the door itself could not read is handed over as its error and comes back in its
        place. `deadline` is in time.monotonic() seconds. Cancelling drops the work.

        Raises:
            Unavailable, Overloaded, NotFound, Unsupported, InvalidInput: nothing can be computed at all.
        """
        embedder = self._embedder(target)
        self._check_request(len(items), target.instruction)
        due = ticket(priority, deadline)
        work = (self._vectorize_one(embedder, item, task, target, due) for item in items)
        return await self._answer_all(work, len(items), deadline)

    async def _vectorize_one(
        self, embedder: Embedder, item: Item | PrismError, task: Task, target: Target, due: Ticket
    ) -> Vector:
        parts = self._intake.parts(item, embedder.info, target.fields)
        if len(parts) > 1 and not embedder.joint:
            raise Unsupported(f"{embedder.info.name} takes one part at a time; this item has {len(parts)}")
        digests = await self._digests(parts, due.deadline)
        key = (embedder.identity, self.settings.video_frames, task, digest(Text(target.instruction)), digests)

        async def embed() -> Vector:
            async with self._ahead[due.priority]:
                return await self._embed(embedder, parts, task, target.instruction, due)

        vector = await self._cache.get(key, embed, due)
        return normalised(vector[: target.dimensions]) if target.dimensions else normalised(vector)

    async def _digests(self, parts: Sequence[Part], deadline: float) -> tuple[tuple[str, bytes], ...]:
        if sum(size_of(part) for part in parts) <= HASH_INLINE_BYTES:
            return tuple(digest(part) for part in parts)
        return await self.run_in_pool(lambda: tuple(digest(part) for part in parts), deadline=deadline)

    async def _embed(
        self, embedder: Embedder, parts: Sequence[Part], task: Task, instruction: str, due: Ticket
    ) -> Vector:
        prepared = await asyncio.wrap_future(
            self._cpu.submit(lambda: embedder.prepare(self._intake.decode(parts), task, instruction), due)
        )
        return await self._run(embedder.info, prepared, due)

    # -- reranking ----------------------------------------------------------------------------

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
            InvalidInput, TooLarge: the query is wrong, or empty: Weaviate sends "" for a search that names none.
        """
        reranker = self._reranker(model)
        self._check_request(len(documents), instruction)
        if all(part == Text("", part.field) for part in query.parts):
            raise InvalidInput("query: is empty; set `query` in the rerank argument of the search")
        due = ticket(Priority.QUERY, deadline)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                parts = self._intake.parts(query, reranker.info)
                asked = await asyncio.wrap_future(self._cpu.submit(lambda: self._intake.decode(parts), due))
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the query was decoded") from None
        except PrismError as error:
            raise error.about("query") from None
        work = (self._score_one(reranker, asked, document, instruction, due) for document in documents)
        return [self._ranked(answer) for answer in await self._answer_all(work, len(documents), deadline)]

    async def _score_one(
        self, reranker: Reranker, asked: Sequence[Content], document: Item | PrismError, instruction: str, due: Ticket
    ) -> float:
        parts = self._intake.parts(document, reranker.info)
        async with self._documents_ahead:
            prepared = await asyncio.wrap_future(
                self._cpu.submit(lambda: reranker.prepare(asked, self._intake.decode(parts), instruction), due)
            )
            return float(await self._run(reranker.info, prepared, due))

    def _ranked(self, answer: float | PrismError) -> float | PrismError:
        if isinstance(answer, (InvalidInput, TooLarge, Unsupported)) and self.settings.rerank_bad_document == "last":
            log.warning("a document is ranked last: %s", answer.message)
            self.metrics.ranked_last.inc()
            return LOWEST_SCORE
        return answer

    # -- what both share ----------------------------------------------------------------------

    async def _run(self, info: ModelInfo, prepared: Prepared, due: Ticket) -> npt.NDArray[np.float32]:
        """The model's finite answer for one prepared input."""
        stage = self._devices[info.kind]
        result = await asyncio.wrap_future(stage.submit(prepared, due, cost=prepared.cost, group=prepared.group))
        if not np.isfinite(result).all() or (result.ndim and not result.any()):
            raise Internal(f"{info.name} answered with numbers that are not finite, or all zero")
        return result

    async def _answer_all(
        self, work: Iterable[Coroutine[Any, Any, T]], count: int, deadline: float
    ) -> list[T | PrismError]:
        """Runs the work of one request side by side; each failure stays in its place."""
        self._in_flight += count
        answers = []
        try:
            async with asyncio.TaskGroup() as group:
                for number, one in enumerate(work, 1):
                    answers.append(group.create_task(self._answer(one, deadline)))
                    if number % TASKS_AT_ONCE == 0:
                        await asyncio.sleep(0)
        finally:
            self._in_flight -= count
        return [answer.result() for answer in answers]

    async def _answer(self, work: Coroutine[Any, Any, T], deadline: float) -> T | PrismError:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await work
        except TimeoutError:
            return self._counted(DeadlineExceeded("the deadline passed before the model was done"))
        except PrismError as error:
            return self._counted(error)

    def _counted(self, error: PrismError) -> PrismError:
        self.metrics.errors.labels(error.kind).inc()
        return error

    def _check_request(self, count: int, instruction: str) -> None:
        check_count(count, self.settings)
        check_instruction(instruction)
        if self._in_flight + count > self.settings.max_queue:
            raise Overloaded(f"{self._in_flight} items are waiting; the limit is {self.settings.max_queue} (max_queue)")

    def _embedder(self, target: Target) -> Embedder:
        embedder = self._loaded().embedder
        if embedder is None:
            raise Unsupported("no embedder is loaded (setting `embedder`)")
        self._check_model(target.model, embedder.info)
        if target.dimensions > embedder.info.dimensions:
            raise InvalidInput(
                f"dimensions: {target.dimensions} are more than the {embedder.info.dimensions} of {embedder.info.name}"
            )
        return embedder

    def _reranker(self, model: str) -> Reranker:
        reranker = self._loaded().reranker
        if reranker is None:
            raise Unsupported("no reranker is loaded (setting `reranker`)")
        self._check_model(model, reranker.info)
        return reranker

    def _loaded(self) -> Models:
        if self._models is None or self._failure.done():
            raise Unavailable("a model failed" if self._failure.done() else "the models are still loading")
        return self._models

    @staticmethod
    def _check_model(wanted: str, info: ModelInfo) -> None:
        if wanted and wanted != info.name:
            raise NotFound(f"model {wanted!r} is not loaded; the {info.kind} is {info.name!r}")

    def _device_stage(self, kind: str, model: Embedder | Reranker) -> DeviceStage:
        return Stage(
            kind,
            lambda batch: list(model.forward(batch)),
            metrics=self.metrics,
            batch_cost=self.settings.batch_cost or default_batch_cost(model.info.device),
            on_death=self._fail_from_thread,
        )

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
            answers += await self.vectorize([text], task=Task.QUERY, priority=Priority.QUERY, deadline=deadline)
        if models.reranker and Modality.TEXT in models.reranker.info.modalities:
            answers += await self.rerank(text, [text], deadline=deadline)
        for answer in answers:
            if isinstance(answer, PrismError):
                raise answer


def default_batch_cost(device: str) -> int:
    """Tokens plus patches of one batch: large ones pay on a GPU; on a CPU they only make queries wait."""
    return 2048 if device == "cpu" else 16384


def normalised(vector: Vector) -> Vector:
    """L2 norm 1, computed in float32 as Sentence Transformers does; a zero vector stays zero."""
    norm = float(np.linalg.norm(vector))
    return np.asarray(vector / max(norm, 1e-12), dtype=np.float32)
