"""Between the messages of prism.v1 and the values of the engine. A field that cannot be honoured is refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from weaviate_prism.errors import InvalidInput, PrismError, TooLarge
from weaviate_prism.intake import check_stated, media_part
from weaviate_prism.store import DIGEST
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.values import (
    EngineInfo,
    Fusion,
    Item,
    Modality,
    Part,
    Priority,
    Stored,
    Target,
    Task,
    Text,
    Vector,
    item_of,
)

TASKS = {pb.TASK_DOCUMENT: (Task.DOCUMENT, Priority.BULK), pb.TASK_QUERY: (Task.QUERY, Priority.QUERY)}
MODALITIES = {
    pb.MODALITY_TEXT: Modality.TEXT,
    pb.MODALITY_IMAGE: Modality.IMAGE,
    pb.MODALITY_VIDEO: Modality.VIDEO,
}
FUSIONS = {pb.FUSION_JOINT: Fusion.JOINT, pb.FUSION_MEAN: Fusion.MEAN}  # the unspecified one is the model's to choose
LONGEST_NAME = 256
WIRE_MODALITIES = {modality: number for number, modality in MODALITIES.items()}


def task(number: pb.Task.ValueType) -> tuple[Task, Priority]:
    """
    Raises:
        InvalidInput: unspecified, or a number that this version does not know.
    """
    if number not in TASKS:
        raise InvalidInput(f"task: must be TASK_DOCUMENT or TASK_QUERY, not {number}")
    return TASKS[number]


def targets(request: pb.VectorizeRequest) -> dict[str, Target]:
    """Targets by their name, at least one.

    Raises:
        InvalidInput, Unsupported: name the field.
    """
    found: dict[str, Target] = {}
    for number, message in enumerate(request.targets or [pb.Target()]):
        try:
            value = target(message)
        except PrismError as error:
            raise error.about(f"targets[{number}]") from None
        if message.name in found:
            raise InvalidInput(f"targets[{number}]: a second target with the name {message.name!r}")
        found[message.name] = value
    return found


def target(message: pb.Target) -> Target:
    if message.fusion not in pb.Fusion.values():
        raise InvalidInput(f"fusion: {message.fusion} is not known")
    for name in (message.name, *message.fields):
        check_name(name)
    return Target(
        model=message.model,
        dimensions=message.dimensions,
        instruction=message.instruction,
        fields=tuple(message.fields),
        fusion=FUSIONS.get(message.fusion),
        weights=tuple(message.weights),
        items=tuple(message.items),
    )


def items(messages: Sequence[pb.Item]) -> list[Item | PrismError]:
    """Each item, or why it cannot be read."""
    return [item(message) for message in messages]


def item(message: pb.Item) -> Item | PrismError:
    if not message.parts:
        return InvalidInput("has no parts")
    parts: list[Part | Stored] = []
    unreadable: list[tuple[str, PrismError]] = []
    for number, each in enumerate(message.parts):
        try:
            check_name(each.field)
        except PrismError as error:
            return error.about(f"parts[{number}]")
        try:
            parts.append(part(each))
        except PrismError as error:
            unreadable.append((each.field, error.about(each.field or f"parts[{number}]")))
    return item_of(parts, unreadable, message.id)


def part(message: pb.Part) -> Part | Stored:
    """
    Raises:
        InvalidInput: no content, unknown content, no digest, or of another modality than stated.
    """
    content = message.WhichOneof("content")
    stated = modality(message)
    if content == "text":
        check_stated(stated, Modality.TEXT)
        return Text(message.text, message.field)
    if content == "data":
        return media_part(message.data, stated, message.field)
    if content == "digest":
        if not DIGEST.fullmatch(message.digest):
            raise InvalidInput("digest: must be a SHA-256 in 64 lower-case hex digits")
        return Stored(message.digest, message.field, stated)
    raise InvalidInput("has no content")


def check_name(name: str) -> None:
    """
    Raises:
        TooLarge: longer than Weaviate's own names may be (231); each one is repeated in answers.
    """
    if len(name) > LONGEST_NAME:
        raise TooLarge(f"a name of {len(name)} characters is over the limit of {LONGEST_NAME}")


def modality(message: pb.Part) -> Modality | None:
    """What the part is said to be, if anything.

    Raises:
        InvalidInput: a number that this version does not know.
    """
    if message.modality not in pb.Modality.values():
        raise InvalidInput(f"modality: {message.modality} is not known")
    return MODALITIES.get(message.modality)


def vectors(
    targets: Mapping[str, Target],
    count: int,
    results: Sequence[Sequence[Vector | PrismError]],
    errors: Sequence[pb.ItemError],
) -> pb.VectorizeResponse:
    """The answer to a request of `count` items."""
    blocks = [
        block(name, count, target.items or range(count), of_target)
        for (name, target), of_target in zip(targets.items(), results, strict=True)
    ]
    return pb.VectorizeResponse(blocks=blocks, errors=errors)


def block(name: str, count: int, positions: Iterable[int], results: Sequence[Vector | PrismError]) -> pb.Block:
    """One row for each of `count` items; those of items that failed, or are not at the positions, are zero."""
    dimensions = next((len(result) for result in results if not isinstance(result, PrismError)), 0)
    rows = np.zeros((count, dimensions), "<f4")
    for position, result in zip(positions, results, strict=True):
        if not isinstance(result, PrismError):
            rows[position] = result
    return pb.Block(target=name, dimensions=dimensions, vectors=rows.tobytes())


def info(value: EngineInfo, api_version: int) -> pb.InfoResponse:
    models = [
        pb.Model(
            name=model.name,
            revision=model.revision,
            kind=model.kind,
            modalities=sorted(WIRE_MODALITIES[modality] for modality in model.modalities),
            dimensions=model.dimensions,
            max_tokens=model.max_tokens,
            dtype=model.dtype,
            device=model.device,
            joint=model.joint,
            decode=model.decode,
            dtype_note=model.dtype_note,
            tier=model.tier,
        )
        for model in value.models
    ]
    profiles = [
        pb.Profile(
            name=profile.name,
            kind=profile.kind,
            model=profile.model,
            loaded=profile.loaded,
            default=profile.default,
            dimensions=profile.dimensions,
        )
        for profile in value.profiles
    ]
    return pb.InfoResponse(
        api_version=api_version,
        version=value.version,
        ready=value.ready,
        models=models,
        limits=value.limits,
        profiles=profiles,
    )
