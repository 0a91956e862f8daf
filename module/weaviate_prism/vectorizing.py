"""Items to vectors, for several targets at once: what they have in common is read, decoded and computed once.

    items -> units -> checked for each target -> digests -> cache -> prepared together -> batched, run -> fused, cut

The media of objects are stored as soon as they have a vector. An item's error, or that of one of its targets, is a
value in its place. Knows neither wires nor tensors.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from weaviate_prism.admission import Admission
from weaviate_prism.aside import aside
from weaviate_prism.cache import EmbeddingCache
from weaviate_prism.config import Settings
from weaviate_prism.errors import DeadlineExceeded, PrismError
from weaviate_prism.flights import Answers
from weaviate_prism.fusion import finished, fusion_of, mean, part_weights
from weaviate_prism.intake import Intake, name_of
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Embedder, Prepared
from weaviate_prism.preparing import Input, OnceDecoder, digests_of, in_time, kind_of, prepare_together
from weaviate_prism.profiles import EMBEDDER, Profile
from weaviate_prism.scheduling.ahead import BULK_BYTES, QUERY_BYTES, Ahead
from weaviate_prism.scheduling.jobs import Ticket
from weaviate_prism.scheduling.stages import Stages
from weaviate_prism.store import MediaStore
from weaviate_prism.units import TOGETHER, units_of, weight_of
from weaviate_prism.values import Digest, Fusion, Image, Item, Part, Priority, Target, Task, Vector, Video


class View(NamedTuple):
    """An embedder, and how many frames of a clip it gets; targets that agree in both are computed together."""

    embedder: Embedder
    video_frames: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compute for a target; what it leaves open is as its profile says."""

    target: Target
    view: View
    fusion: Fusion
    stem: hashlib.blake2b  # of the keys of its inputs: everything but the parts that changes the model's answer


def plan(target: Target, profile: Profile, task: Task, embedder: Embedder) -> Plan:
    """
    Raises:
        InvalidInput, Unsupported: the embedder cannot do what the target asks for; naming its field.
    """
    target = replace(
        target,
        dimensions=target.dimensions or profile.dimensions,
        instruction=target.instruction or profile.prompt(task),
        fusion=target.fusion or profile.fusion,
    )
    # the model as it was asked for, too: its revision tells directories of one name apart by parts of their files only
    about = (profile.model, embedder.identity, profile.video_frames, task.value, target.instruction)
    stem = hashlib.blake2b(repr(about).encode(), digest_size=20)
    return Plan(target, View(embedder, profile.video_frames), fusion_of(target, embedder), stem)


@dataclass(frozen=True, slots=True)
class Request:
    """What all items of a request have in common; one plan for each target."""

    task: Task
    plans: Sequence[Plan]
    ticket: Ticket


Unit: TypeAlias = list[tuple[int, int]]
"""Items and the targets that read them, by their positions in the request."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one target reads of one item; `weights` of the parts for a mean, none for a joint vector."""

    plan: Plan
    parts: Sequence[Part]
    weights: Sequence[float] = ()

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """Which parts, by their place, the model reads at once; a part without weight is not read."""
        if not self.weights:
            return [tuple(range(len(self.parts)))]
        return [(place,) for place, weight in enumerate(self.weights) if weight]


class Vectorizing:
    """Used from one event loop."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        intake: Intake,
        stages: Stages,
        admission: Admission,
        store: MediaStore,
    ) -> None:
        self._intake = intake
        self._stages = stages
        self._admission = admission
        self._store = store
        self._cache = EmbeddingCache(settings.cache_bytes, metrics)
        self._ahead = {Priority.QUERY: Ahead(QUERY_BYTES), Priority.BULK: Ahead(BULK_BYTES)}

    async def vectorize(self, items: Sequence[Item | PrismError], request: Request) -> list[list[Vector | PrismError]]:
        """For each target, one vector or error for each item that it reads.

        Raises:
            Overloaded
        """
        readings = len(items) * len(request.plans)
        units, inputs = await aside(readings, self._divided, items, request)
        with self._admission.admitted(inputs):
            answers = await self._admission.answer_all(
                units,
                lambda unit: self._of_unit(
                    [(items[position], request.plans[number]) for position, number in unit], request
                ),
                request.ticket.deadline,
            )
        return await aside(readings, self._by_target, units, answers, len(request.plans))

    def _divided(self, items: Sequence[Item | PrismError], request: Request) -> tuple[list[Unit], int]:
        """The items, counted, in units; and how many inputs they are for the queue."""
        self._intake.count(EMBEDDER, items)
        readers: list[list[int]] = [[] for _ in items]
        for number, each in enumerate(request.plans):
            for position in each.target.items or range(len(items)):
                readers[position].append(number)
        counts = [inputs_of(item, request, numbers) for item, numbers in zip(items, readers, strict=True)]
        units = [
            [(position, number) for position in unit for number in readers[position]]
            for unit in units_of(
                (position, weight_of(item, count))
                for position, (item, count, numbers) in enumerate(zip(items, counts, readers, strict=True))
                if numbers
            )
        ]
        return units, max(sum(counts), len(items) * len(request.plans))

    def _by_target(
        self, units: Sequence[Unit], answers: Sequence[list[Vector | PrismError] | PrismError], targets: int
    ) -> list[list[Vector | PrismError]]:
        """The results of each target, counted."""
        results: list[list[Vector | PrismError]] = [[] for _ in range(targets)]
        for unit, answer in zip(units, answers, strict=True):
            for place, (_, number) in enumerate(unit):
                results[number].append(answer if isinstance(answer, PrismError) else answer[place])
        return [self._admission.counted(of_target) for of_target in results]

    async def _of_unit(
        self, unit: Sequence[tuple[Item | PrismError, Plan]], request: Request
    ) -> list[Vector | PrismError]:
        """The result for each item and the target that reads it."""
        readings = [self._reading(item, plan) for item, plan in unit]
        parts = [part for each in readings if isinstance(each, Reading) for part in each.parts]
        digests = await digests_of(parts, self._stages, request.ticket)
        wanted = [inputs_for(each, digests) if isinstance(each, Reading) else [] for each in readings]
        by_view: dict[View, dict[Hashable, Input]] = {}
        for (_, plan), of_reading in zip(unit, wanted, strict=True):
            by_view.setdefault(plan.view, {}).update(of_reading)
        # each model by itself: whoever waits for the one shall not wait for another
        of_views = [self._known(inputs, view, request) for view, inputs in by_view.items()]
        found = await asyncio.gather(*of_views) if len(of_views) > 1 else [await one for one in of_views]
        answers = {key: answer for of_view in found for key, answer in of_view.items()}
        if request.ticket.priority is Priority.BULK:  # what is searched for is no object's
            read = (pair for of_reading in wanted for pair in of_reading)
            self._keep(each for key, each in read if not isinstance(answers[key], PrismError))
        fused = [
            averaged(reading, [answers[key] for key, _ in of_reading]) if isinstance(reading, Reading) else reading
            for reading, of_reading in zip(readings, wanted, strict=True)
        ]
        return finished(fused, [plan.target.dimensions for _, plan in unit])

    def _keep(self, inputs: Iterable[Input]) -> None:
        """Stores the media of inputs that have a vector: they can be decoded."""
        parts = {digest: part for each in inputs for digest, part in zip(each.digests, each.parts, strict=True)}
        for part in parts.values():
            if isinstance(part, Image | Video):
                self._store.keep(part.data)

    def _reading(self, item: Item | PrismError, plan: Plan) -> Reading | PrismError:
        try:
            parts = self._intake.parts(item, plan.view.embedder.info, plan.target.fields)
            weights = part_weights(plan.target, parts) if plan.fusion is Fusion.MEAN else ()
        except PrismError as error:
            return error
        return Reading(plan, parts, weights)

    async def _known(self, inputs: Mapping[Hashable, Input], view: View, request: Request) -> Answers[Vector]:
        """Of the cache, or computed."""

        async def compute(missing: Sequence[Hashable]) -> Answers[Vector]:
            return await self._compute({key: inputs[key] for key in missing}, view, request)

        return await self._cache.get(inputs, compute, request.ticket)

    async def _compute(self, inputs: Mapping[Hashable, Input], view: View, request: Request) -> Answers[Vector]:
        """The model's own vectors, not normalised."""
        # those that read the same part one after the other, so that it is soon dropped
        keys = sorted(inputs, key=lambda key: inputs[key].digests)
        answers: dict[Hashable, Vector | PrismError] = {}
        for start in range(0, len(keys), TOGETHER):
            together = keys[start : start + TOGETHER]
            try:
                vectors = await self._together([inputs[key] for key in together], view, request)
                answers |= zip(together, vectors, strict=True)
            except DeadlineExceeded as error:
                answers |= dict.fromkeys(together, error.bare())
        return answers

    async def _together(self, inputs: Sequence[Input], view: View, request: Request) -> list[Vector | PrismError]:
        """
        Raises:
            DeadlineExceeded: it would come too late.
        """
        ahead = self._ahead[request.ticket.priority]
        kinds = [(view, kind_of(each.parts)) for each in inputs]
        media = sum(each.has_media for each in inputs)
        ticket = request.ticket
        with self._stages.backlog.entered(kinds, ticket) as entry, entry.unit(kinds) as unit:
            async with ahead.reserve(len(inputs), media * view.embedder.media_bytes, ticket) as reserved:
                prepared = await prepare_together(
                    inputs, unit.timed(lambda some: self._prepared(some, view, request.task)), self._stages, ticket
                )
                reserved.weigh(prepared)
                return await self._stages.on_device_together(view.embedder, prepared, ticket, unit)

    def _prepared(self, inputs: Sequence[Input], view: View, task: Task) -> list[Prepared | PrismError]:
        """Runs on one CPU thread."""
        embedder, frames = view
        decoder = OnceDecoder(lambda part, digest: self._intake.content(part, embedder, frames, digest), inputs)

        def prepare(source: Input) -> Prepared:
            return embedder.prepare(decoder.contents(source), task, source.instruction)

        return in_time(inputs, prepare, decoder.holds_nothing)


def inputs_for(reading: Reading, digests: Mapping[int, Digest]) -> list[tuple[Hashable, Input]]:
    """What the model shall read for each group, and its key: everything that changes the model's answer."""
    inputs: list[tuple[Hashable, Input]] = []
    for group in reading.groups:
        parts = tuple(reading.parts[place] for place in group)
        of_parts = tuple(digests[id(part)] for part in parts)
        key = reading.plan.stem.copy()
        for modality, of_part in of_parts:
            key.update((modality + of_part).encode())
        inputs.append((key.digest(), Input(parts, of_parts, reading.plan.target.instruction)))
    return inputs


def averaged(reading: Reading, answers: Sequence[Vector | PrismError]) -> Vector | PrismError:
    """One vector of the model's answers for each group; the first error, naming the part, if any."""
    vectors: list[Vector] = []
    for group, answer in zip(reading.groups, answers, strict=True):
        if isinstance(answer, PrismError):
            return answer.about(name_of(reading.parts, group[0])) if len(group) == 1 else answer
        vectors.append(answer)
    try:
        return mean(vectors, [weight for weight in reading.weights if weight])
    except PrismError as error:
        return error


def inputs_of(item: Item | PrismError, request: Request, numbers: Sequence[int]) -> int:
    """How much work an item is, at most: an input for each joint vector, one for each part of a mean."""
    if isinstance(item, PrismError):
        return len(numbers)
    plans = [request.plans[number] for number in numbers]
    joint = sum(each.fusion is Fusion.JOINT for each in plans)
    means = [each.target.fields for each in plans if each.fusion is Fusion.MEAN]
    return joint + sum(
        sum(part.field in fields for part in item.parts) if fields else len(item.parts) for fields in means
    )
