"""The vector that Weaviate would get for an object now: what each module sends, and what it makes of the answer."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from weaviate_prism.check.known import FIELD_LISTS
from weaviate_prism.check.schema import Vector
from weaviate_prism.check.service import RefusedError, Service
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.values import Modality
from weaviate_prism.values import Vector as Row

Properties: TypeAlias = Mapping[str, Any]
"""Of one object: texts, lists of texts, media in base64 or as digests; none is null."""

# The names of a request's and an answer's lists, by the config's.
STOCK = {
    "textFields": ("texts", "textVectors"),
    "imageFields": ("images", "imageVectors"),
    "videoFields": ("video", "videoVectors"),
}
NATIVE = {
    Modality.TEXT: pb.MODALITY_TEXT,
    Modality.IMAGE: pb.MODALITY_IMAGE,
    Modality.VIDEO: pb.MODALITY_VIDEO,
}
FUSIONS = {"joint": pb.FUSION_JOINT, "mean": pb.FUSION_MEAN}
DIGEST = re.compile("[0-9a-f]{64}")
COMPARED = ("multi2vec-prism", "multi2vec-bind", "multi2vec-clip")


def embed(service: Service, vector: Vector, path: str, collection: str, properties: Properties) -> Row:
    """float32, for a vector of one of the modules in COMPARED; its length is the module's matter.

    Args:
        path: prefix of Prism's paths in the collection's address.

    Raises:
        RefusedError: by Prism, or because Weaviate itself would fail.
    """
    if not properties:
        raise RefusedError("it has nothing to vectorize, so its vector came with it")
    if vector.module == "multi2vec-prism":
        return service.vector(target(vector), list(parts(vector, properties)), collection)
    return combined(service.stock(path, inputs(vector, properties)), weights(vector))


def inputs(vector: Vector, properties: Properties) -> dict[str, list[str]]:
    """As bind and clip send them: in alphabetical order of properties; each text of a list alone."""
    lists: dict[str, list[str]] = {}
    for name in sorted(properties):
        value = properties[name]
        for key, (ours, _) in STOCK.items():
            if name not in vector.fields(key):
                continue
            if isinstance(value, str):
                lists.setdefault(ours, []).append(value)
            elif isinstance(value, list) and key == "textFields":
                lists.setdefault(ours, []).extend(map(str, value))
    return lists


def weights(vector: Vector) -> list[float]:
    """In the config's order, adding up to 1; empty where the config has none."""
    given = vector.config.get("weights") or {}
    listed = [float(weight) for key in STOCK for weight in given.get(key) or ()]
    total = sum(listed)
    return [weight / total for weight in listed] if total else []


def combined(answer: Mapping[str, Any], weights: Sequence[float]) -> Row:
    """Weaviate's mean of all vectors of an answer, not normalised; weights by position.

    Raises:
        RefusedError: there is no vector, or there are more than weights.
    """
    rows = [row for _, theirs in STOCK.values() for row in answer.get(theirs) or ()]
    if not rows:
        raise RefusedError("Prism sent no vector")
    if weights and len(weights) < len(rows):
        raise RefusedError(f"{len(weights)} weights for {len(rows)} values: Weaviate fails with a panic")
    matrix = np.asarray(rows, np.float32)
    scale = np.asarray(weights[: len(rows)] if weights else np.ones(len(rows)), np.float32)
    mean: Row = (scale @ matrix / np.float32(len(rows))).astype(np.float32)
    return mean


def target(vector: Vector) -> pb.Target:
    """As multi2vec-prism sends it."""
    config = vector.config
    given = config.get("weights") or {}
    return pb.Target(
        name=vector.name,
        model=str(config.get("model") or ""),
        dimensions=int(config.get("dimensions") or 0),
        instruction=str(config.get("instruction") or ""),
        fusion=FUSIONS.get(str(config.get("fusion")), pb.FUSION_UNSPECIFIED),
        fields=vector.all_fields(),
        weights=[float(weight) for key in FIELD_LISTS for weight in given.get(key) or ()],
    )


def parts(vector: Vector, properties: Properties) -> Sequence[pb.Part]:
    """As multi2vec-prism sends them: in the order of the config's lists.

    Raises:
        RefusedError: naming the property that is neither text nor base64.
    """
    found = []
    for key, modality in FIELD_LISTS.items():
        for name in vector.fields(key):
            value = properties.get(name)
            if value is None:
                continue
            values = value if isinstance(value, list) and modality is Modality.TEXT else [value]
            found += [_part(name, modality, each) for each in values]
    return found


def _part(name: str, modality: Modality, value: object) -> pb.Part:
    if not isinstance(value, str):
        raise RefusedError(f"{name}: its value is of type {type(value).__name__}")
    if modality is Modality.TEXT:
        return pb.Part(field=name, text=value)
    if DIGEST.fullmatch(value):
        return pb.Part(field=name, modality=NATIVE[modality], digest=value)
    try:
        data = base64.b64decode(value.rpartition(",")[2], validate=True)
    except binascii.Error as error:
        raise RefusedError(f"{name}: is not base64: {error}") from None
    return pb.Part(field=name, modality=NATIVE[modality], data=data)
