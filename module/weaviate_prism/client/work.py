"""What a verb has to do, whoever sends it: requests small enough, answers put in order, and what failed.

Knows neither channels nor threads; `sync.py` and `aio.py` send the requests.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from weaviate_prism.client.failures import PASSING, ItemsFailed, item_error
from weaviate_prism.client.inputs import Input, about_file, item_of
from weaviate_prism.errors import Internal, PrismError, TooLarge
from weaviate_prism.v1 import prism_pb2 as pb

Request: TypeAlias = "pb.VectorizeRequest | pb.RerankRequest"
Response: TypeAlias = Any  # of the request's kind

# Python's gRPC reads one message of 10 MB at half the speed of several of 2.5 MB on their way at once.
CHUNK_BYTES = 5 << 19
CHUNK_PARTS = 500
# A part's tags and lengths take less, and the rest of a request: names, and a prompt of 2,000 characters at most.
PART_BYTES, REST_BYTES = 32, 16_384


@dataclass(slots=True)
class Chunk:
    """Items of one request, the inputs that they were made of, and their positions among all of them."""

    query: pb.Item | None = None
    positions: list[int] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    items: list[pb.Item] = field(default_factory=list)

    def add(self, position: int, value: Input, item: pb.Item) -> None:
        self.positions.append(position)
        self.inputs.append(value)
        self.items.append(item)


class Work(abc.ABC):
    """The inputs of one verb, their results and errors.

    Each position belongs to one chunk at a time, so several threads may work on different chunks.
    """

    width: ClassVar[tuple[int, ...]] = ()  # of a result whose shape is not known, because there is none

    def __init__(self, count: int, *, one: bool = False, calls: int = 4) -> None:
        self.calls = calls  # on their way at once
        # Why nothing more need be sent: what is wrong with one request is wrong with all.
        self.refused: PrismError | None = None
        self._one = one
        self._count = count
        self._results: dict[int, npt.NDArray[np.float32]] = {}
        self._errors: dict[int, PrismError] = {}

    @abc.abstractmethod
    def chunks(self, limits: Mapping[str, int]) -> Iterator[Chunk]:
        """One after the other; inputs are read when their turn comes. `limits` are the service's."""

    @abc.abstractmethod
    def request(self, chunk: Chunk) -> Request: ...

    @abc.abstractmethod
    def results(self, chunk: Chunk, response: Response) -> npt.NDArray[np.float32]:
        """One for each item, whatever it is for those with errors.

        Raises:
            Internal: the answer is not one to this request.
        """

    def record(self, chunk: Chunk, response: Response) -> tuple[Chunk, PrismError | None]:
        """Keeps results and errors; returns what the service could not take just now, and why.

        Raises:
            Internal: see `results`.
        """
        results = self.results(chunk, response)
        errors = {error.index: item_error(error.code, error.message) for error in response.errors}
        if any(place >= len(chunk.items) for place in errors):
            raise Internal(f"the answer has an error for an item that is none of {len(chunk.items)}")
        again, busy = Chunk(chunk.query), None
        for place, (position, value, item) in enumerate(zip(chunk.positions, chunk.inputs, chunk.items, strict=True)):
            error = errors.get(place)
            if isinstance(error, PASSING):
                again.add(position, value, item)
                busy = error
            elif error:
                self._errors[position] = about_file(error, value)
            else:
                self._results[position] = results[place]
        return again, busy

    def refuse(self, chunk: Chunk, error: PrismError) -> None:
        """A chunk was not answered, and others would not be, either."""
        self.refused = error

    def outcome(self) -> npt.NDArray[np.float32]:
        """float32 [n, ...] in the order of the inputs; without its first dimension (a number, for a score) for one.

        Raises:
            PrismError: nothing was answered; or the one input failed.
            ItemsFailed: some inputs failed.
        """
        failed = dict(self._errors)
        for position in range(self._count):
            if position not in self._results:
                failed.setdefault(position, self.refused or Internal("was not answered"))
        if self.refused and not self._results and not self._errors:
            raise self.refused
        if failed and self._one:
            raise failed[0]
        together = self._together()
        if failed:
            raise ItemsFailed(failed, together) from self.refused
        return together.reshape(together.shape[1:])[()] if self._one else together

    def _together(self) -> npt.NDArray[np.float32]:
        shapes = {result.shape for result in self._results.values()} or {self.width}
        if len(shapes) > 1:
            raise Internal(f"vectors of different shapes {sorted(shapes)}: has the service changed its model?")
        together = np.full((self._count, *shapes.pop()), np.nan, np.float32)
        for position, result in self._results.items():
            together[position] = result
        return together

    def _split(
        self, inputs: Sequence[tuple[int, Input]], limits: Mapping[str, int], query: pb.Item | None = None
    ) -> Iterator[Chunk]:
        """Chunks of inputs with their positions; an input that cannot be read or is too large fails alone."""
        asked, asked_parts = _measure(query) if query else (0, 0)
        most_bytes = min(limits["max_request_bytes"], limits["max_queue_bytes"]) - asked - REST_BYTES
        most_parts = min(CHUNK_PARTS, limits["max_items"] - asked_parts, limits["max_queue"])
        chunk, total, parts = Chunk(query), 0, 0
        for position, value in inputs:
            try:
                item = item_of(value)
                size, count = _measure(item)
                if size > most_bytes:
                    over = f"{size} bytes are over the {most_bytes} that a request can take (max_request_bytes)"
                    raise about_file(TooLarge(over), value)
            except PrismError as error:
                self._errors[position] = error
                continue
            if chunk.items and (total + size > min(CHUNK_BYTES, most_bytes) or parts + count > most_parts):
                yield chunk
                chunk, total, parts = Chunk(query), 0, 0
            chunk.add(position, value, item)
            total, parts = total + size, parts + count
        if chunk.items:
            yield chunk


def _measure(item: pb.Item) -> tuple[int, int]:
    """Bytes in a message, at most, and parts. Protobuf's own ByteSize writes the message anew to count it."""
    size = sum(len(part.data) + len(part.text.encode()) + PART_BYTES for part in item.parts)
    return size + PART_BYTES, len(item.parts)
