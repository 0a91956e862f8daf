"""How the parts of an item become one vector: as one input of the model, or as the mean of each part's own.

Knows what a target may ask of which model; knows nothing of requests or how a vector is computed.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np

from weaviate_prism.errors import InvalidInput, PrismError, Unsupported
from weaviate_prism.models.base import Embedder
from weaviate_prism.values import Fusion, Part, Target, Vector

# A float32 unit vector is exact to about 1e-7: what is left of it, if shorter than this, is only rounding.
SHORTEST = 1e-6


def fusion_of(target: Target, embedder: Embedder) -> Fusion:
    """How the target's parts are fused, once the model can do all that it asks for.

    Raises:
        InvalidInput, Unsupported: naming the field of the target.
    """
    _check_dimensions(target, embedder)
    _check_fields(target)
    fusion = target.fusion or (Fusion.JOINT if embedder.joint else Fusion.MEAN)
    if fusion is Fusion.JOINT and not embedder.joint:
        raise Unsupported(f"fusion: {embedder.info.name} takes one part at a time, so it cannot be joint, only mean")
    if fusion is Fusion.JOINT and target.weights:
        why = "" if target.fusion else f", the default of {embedder.info.name},"
        raise InvalidInput(f"weights: a joint vector{why} has none; set the fusion to mean, or leave them out")
    _check_weights(target)
    return fusion


def check_positions(target: Target, count: int) -> None:
    """
    Raises:
        InvalidInput: `items` are not ascending positions of `count` items.
    """
    for earlier, later in itertools.pairwise(target.items):
        if later <= earlier:
            raise InvalidInput(f"items: must be ascending, each once; {later} comes after {earlier}")
    if target.items and target.items[-1] >= count:
        raise InvalidInput(f"items: there is no item {target.items[-1]}; the request has {count}, counted from 0")


def part_weights(target: Target, parts: Sequence[Part]) -> list[float]:
    """One weight per part, adding up to 1: each field's own, shared equally by its parts.

    Raises:
        InvalidInput: all fields that the item has weigh 0.
    """
    shares = Counter(part.field for part in parts)
    by_field = dict(zip(target.fields, target.weights, strict=True)) if target.weights else dict.fromkeys(shares, 1.0)
    weights = [by_field[part.field] / shares[part.field] for part in parts]
    total = math.fsum(weights)
    if not total:
        raise InvalidInput(f"all fields that it has weigh 0: {', '.join(shares)}")
    return [weight / total for weight in weights]


def mean(vectors: Sequence[Vector], weights: Sequence[float]) -> Vector:
    """The weighted average of the vectors' directions: float32 [dimensions], not normalised.

    Raises:
        InvalidInput: they point in opposite directions and nothing is left.
    """
    if len(vectors) == 1:
        return vectors[0]
    units = normalised(np.stack(vectors)).astype(np.float64)
    average = np.asarray(weights) @ units
    if float(np.linalg.norm(average)) < SHORTEST:
        raise InvalidInput("the vectors of its parts point in opposite directions, and their mean is zero")
    return average.astype(np.float32)


def finished(vectors: Sequence[Vector | PrismError], dimensions: Sequence[int]) -> list[Vector | PrismError]:
    """Each cut to so many dimensions (0: all of them), then normalised; an error where nothing but zeros would be left.

    Alike ones are done together: in each call numpy lets go of Python's lock, which a busy thread gives back after
    0.1 ms only.
    """
    results = list(vectors)
    alike: dict[tuple[int, int], list[int]] = {}
    for place, (vector, dimension) in enumerate(zip(vectors, dimensions, strict=True)):
        if not isinstance(vector, PrismError):
            alike.setdefault((dimension, len(vector)), []).append(place)
    for (dimension, size), places in alike.items():
        rows = np.stack([cast(Vector, vectors[place]) for place in places])
        cut = rows[:, : dimension or size]
        for place, row in zip(places, normalised(cut), strict=True):
            results[place] = row
        if cut.shape[1] < size:
            zero = np.linalg.norm(cut, axis=1) < SHORTEST * np.linalg.norm(rows, axis=1)
            for index in np.flatnonzero(zero):
                text = f"dimensions: the first {dimension} of its vector are all zero"
                results[places[index]] = InvalidInput(text)
    return results


def normalised(vectors: Vector) -> Vector:
    """Rows of L2 norm 1, computed in float32 as Sentence Transformers does; a row of zeros stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


def _check_dimensions(target: Target, embedder: Embedder) -> None:
    most = embedder.info.dimensions
    if target.dimensions < 0:
        raise InvalidInput(f"dimensions: {target.dimensions} are fewer than none")
    if target.dimensions > most:
        raise InvalidInput(f"dimensions: {target.dimensions} are more than the {most} of {embedder.info.name}")


def _check_fields(target: Target) -> None:
    twice = [field for field, count in Counter(target.fields).items() if count > 1]
    if twice:
        raise InvalidInput(f"fields: {twice[0]!r} is named twice")


def _check_weights(target: Target) -> None:
    weights = target.weights
    if not weights:
        return
    if len(weights) != len(target.fields):
        raise InvalidInput(f"weights: {len(weights)} are given for {len(target.fields)} fields; one is needed for each")
    for field, weight in zip(target.fields, weights, strict=True):
        if not 0 <= weight < math.inf:  # refuses nan, too
            raise InvalidInput(f"weights: must be finite and not negative; {field!r} has {weight:g}")
    if not any(weights):
        raise InvalidInput("weights: all are 0; at least one must be more")
