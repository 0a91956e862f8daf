"""Items to vectors, for several targets at once: what they have in common is read, decoded and computed once.

    item -> checked for each target -> digests -> cache -> prepared together -> batched, run -> fused, cut, normalised

An item's error, or that of one of its targets, is a value in its place. Knows neither wires nor tensors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from weaviate_prism.admission import Admission
from weaviate_prism.cache import Answers, EmbeddingCache
from weaviate_prism.config import Settings
from weaviate_prism.errors import PrismError
from weaviate_prism.fusion import finished, mean, part_weights
from weaviate_prism.intake import Digest, Intake, digest, name_of, size_of
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Embedder, Prepared
from weaviate_prism.preparing import Input, prepare_together
from weaviate_prism.scheduler import Ticket, ticket
from weaviate_prism.stages import Ahead, Stages
from weaviate_prism.values import Fusion, Item, Part, Priority, Target, Task, Text, Vector

# Hashing this much takes about 0.2 ms: more is not done on the event loop.
HASH_INLINE_BYTES = 256 * 1024
# Inputs of one item that are prepared by one job; few items have more than their targets and properties.
TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Request:
    """What all items of a request have in common. `fusions` has one entry for each target."""

    embedder: Embedder
    task: Task
    targets: Sequence[Target]
    fusions: Sequence[Fusion]
    due: Ticket


@dataclass(frozen=True, slots=True)
class Reading:
    """What one target reads of one item; `weights` of the parts for a mean, none for a joint vector."""

    target: Target
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
        self, settings: Settings, metrics: Metrics, intake: Intake, stages: Stages, admission: Admission
    ) -> None:
        self._video_frames = settings.video_frames
        self._intake = intake
        self._stages = stages
        self._admission = admission
        self._cache = EmbeddingCache(settings.cache_bytes, metrics)
        self._ahead = {priority: Ahead() for priority in Priority}

    async def vectorize(self, items: Sequence[Item | PrismError], request: Request) -> list[list[Vector | PrismError]]:
        """For each target, one vector or error for each item that it reads.

        Raises:
            Overloaded
        """
        readers: list[list[int]] = [[] for _ in items]
        for number, target in enumerate(request.targets):
            for position in target.items or range(len(items)):
                readers[position].append(number)
        count = sum(inputs_of(item, request, numbers) for item, numbers in zip(items, readers, strict=True))
        self._admission.check_room(count)
        work = (self._of_item(item, request, numbers) for item, numbers in zip(items, readers, strict=True))
        answers = await self._admission.answer_all(work, count, request.due.deadline)
        results: list[list[Vector | PrismError]] = [[] for _ in request.targets]
        for numbers, answer in zip(readers, answers, strict=True):
            for place, number in enumerate(numbers):
                results[number].append(answer if isinstance(answer, PrismError) else answer[place])
        return [self._admission.counted(of_target) for of_target in results]

    async def _of_item(
        self, item: Item | PrismError, request: Request, numbers: Sequence[int]
    ) -> list[Vector | PrismError]:
        """The results of the targets with these numbers."""
        readings = [self._reading(item, request, number) for number in numbers]
        digests = await self._digests([reading for reading in readings if isinstance(reading, Reading)], request.due)
        inputs: dict[Hashable, Input] = {}
        keys: list[list[Hashable]] = []  # of each reading, in the order of its groups
        for reading in readings:
            wanted = self._inputs(reading, request, digests) if isinstance(reading, Reading) else []
            inputs |= wanted
            keys.append([key for key, _ in wanted])

        async def compute(missing: Sequence[Hashable]) -> Answers:
            return await self._compute({key: inputs[key] for key in missing}, request)

        answers = await self._cache.get(inputs, compute, request.due)
        return [
            fused(reading, [answers[key] for key in of_reading]) if isinstance(reading, Reading) else reading
            for reading, of_reading in zip(readings, keys, strict=True)
        ]

    def _reading(self, item: Item | PrismError, request: Request, number: int) -> Reading | PrismError:
        target = request.targets[number]
        try:
            parts = self._intake.parts(item, request.embedder.info, target.fields)
            weights = part_weights(target, parts) if request.fusions[number] is Fusion.MEAN else ()
        except PrismError as error:
            return error
        return Reading(target, parts, weights)

    async def _digests(self, readings: Sequence[Reading], due: Ticket) -> Mapping[int, Digest]:
        """The digest of every part that is read, by the part's `id`."""
        parts = {id(part): part for reading in readings for part in reading.parts}
        if sum(size_of(part) for part in parts.values()) <= HASH_INLINE_BYTES:
            return {key: digest(part) for key, part in parts.items()}
        return await self._stages.on_cpu(
            lambda: {key: digest(part) for key, part in parts.items()}, ticket(Priority.QUERY, due.deadline)
        )

    def _inputs(
        self, reading: Reading, request: Request, digests: Mapping[int, Digest]
    ) -> list[tuple[Hashable, Input]]:
        """What the model shall read for each group, and its key: everything that changes the model's answer.

        Name, dimensions and weights of the target are no part of it.
        """
        instruction = reading.target.instruction
        about = (request.embedder.identity, self._video_frames, request.task, digest(Text(instruction)))
        inputs: list[tuple[Hashable, Input]] = []
        for group in reading.groups:
            parts = tuple(reading.parts[place] for place in group)
            of_parts = tuple(digests[id(part)] for part in parts)
            inputs.append(((*about, of_parts), Input(parts, of_parts, instruction)))
        return inputs

    async def _compute(self, inputs: Mapping[Hashable, Input], request: Request) -> Answers:
        """The model's own vectors, not normalised."""
        # those that read the same part one after the other, so that it is soon dropped
        keys = sorted(inputs, key=lambda key: inputs[key].digests)
        answers: dict[Hashable, Vector | PrismError] = {}
        for start in range(0, len(keys), TOGETHER):
            some = keys[start : start + TOGETHER]
            answers |= zip(some, await self._compute_together([inputs[key] for key in some], request), strict=True)
        return answers

    async def _compute_together(self, inputs: Sequence[Input], request: Request) -> list[Vector | PrismError]:
        ahead = self._ahead[request.due.priority]
        await ahead.enter(len(inputs))
        try:
            prepared = await prepare_together(
                inputs, request.embedder, request.task, self._intake, self._stages, request.due
            )
            runs = [self._run(each, request) for each in prepared]
            return await asyncio.gather(*runs) if len(runs) > 1 else [await runs[0]]
        finally:
            ahead.leave(len(inputs))

    async def _run(self, prepared: Prepared | PrismError, request: Request) -> Vector | PrismError:
        if isinstance(prepared, PrismError):
            return prepared
        try:
            return await self._stages.on_device(request.embedder.info, prepared, request.due)
        except PrismError as error:
            return error


def fused(reading: Reading, answers: Sequence[Vector | PrismError]) -> Vector | PrismError:
    """The vector of a target from the model's answers for each group; the first error, naming the part, if any."""
    vectors: list[Vector] = []
    for group, answer in zip(reading.groups, answers, strict=True):
        if isinstance(answer, PrismError):
            return answer.about(name_of(reading.parts, group[0])) if len(group) == 1 else answer
        vectors.append(answer)
    try:
        average = mean(vectors, [weight for weight in reading.weights if weight])
        return finished(average, reading.target.dimensions)
    except PrismError as error:
        return error


def inputs_of(item: Item | PrismError, request: Request, numbers: Sequence[int]) -> int:
    """How much work an item is, at most: an input for each joint vector, one for each part of a mean."""
    if isinstance(item, PrismError):
        return len(numbers)
    joint = sum(request.fusions[number] is Fusion.JOINT for number in numbers)
    means = [request.targets[number].fields for number in numbers if request.fusions[number] is Fusion.MEAN]
    return joint + sum(
        sum(part.field in fields for part in item.parts) if fields else len(item.parts) for fields in means
    )
