"""`encode_query` and `encode_document`: inputs to vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from weaviate_prism.client.inputs import WANT_LIST, Input, One
from weaviate_prism.client.work import Chunk, Work
from weaviate_prism.errors import Internal
from weaviate_prism.v1 import prism_pb2 as pb

Fusion: TypeAlias = Literal["joint", "mean"]

FUSIONS = {None: pb.FUSION_UNSPECIFIED, "joint": pb.FUSION_JOINT, "mean": pb.FUSION_MEAN}


class Encoding(Work):
    """Vectors of inputs; a list holds several of them."""

    width = (0,)

    def __init__(
        self,
        inputs: One | list[Any],
        task: pb.Task.ValueType,
        *,
        prompt: str | None,
        dimensions: int | None,
        model: str | None,
        fusion: Fusion | None,
    ) -> None:
        if isinstance(inputs, tuple):  # in a list it is one input; Sentence Transformers takes it for several
            raise TypeError(f"inputs: a bare tuple; {WANT_LIST}")
        self._inputs: Sequence[Input] = inputs if isinstance(inputs, list) else [inputs]
        super().__init__(len(self._inputs), one=not isinstance(inputs, list))
        if fusion not in FUSIONS:
            raise ValueError(f"fusion: must be joint or mean, not {fusion!r}")
        self._task = task
        self._target = pb.Target(
            instruction=instruction_of(prompt), dimensions=dimensions or 0, model=model or "", fusion=FUSIONS[fusion]
        )

    def chunks(self, limits: Mapping[str, int]) -> Iterator[Chunk]:
        return self._split(list(enumerate(self._inputs)), limits)

    def request(self, chunk: Chunk) -> pb.VectorizeRequest:
        return pb.VectorizeRequest(task=self._task, targets=[self._target], items=chunk.items)

    def results(self, chunk: Chunk, response: pb.VectorizeResponse) -> npt.NDArray[np.float32]:
        blocks, count = response.blocks, len(chunk.items)
        if len(blocks) != 1 or len(blocks[0].vectors) != 4 * count * blocks[0].dimensions:
            raise Internal(f"the answer does not have {count} vectors")
        vectors = np.frombuffer(blocks[0].vectors, "<f4").reshape(count, blocks[0].dimensions)
        failed = {error.index for error in response.errors}
        for place in np.flatnonzero(~vectors.any(axis=1)):
            if int(place) not in failed:
                raise Internal(f"the answer has neither vector nor error for item {place}")
        return vectors


def instruction_of(prompt: str | None) -> str:
    """
    Raises:
        ValueError: is empty, which in prism.v1 stands for the model's own.
    """
    if prompt == "":
        raise ValueError("prompt: must not be empty; None is the model's own")
    return prompt or ""
