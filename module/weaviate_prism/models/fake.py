"""A test model without weights: repeatable answers from the content alone, at a cost of one's choice.

`fake` answers at once; `fake:4,0.5` takes 4 ms per batch and 0.5 ms per item. Equal content gets equal
vectors, different content almost orthogonal ones, whatever the task. A document scores by the share of
the query's words in it; media count as a word made of their pixels. Two texts misbehave on purpose, so
that tests can see failures confined: `prism-fake: fail` fails its batch, `prism-fake: nan` its own row.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weaviate_prism.models.base import Clip, Content, ModelError, Patches, Prepared
from weaviate_prism.values import Modality, ModelInfo, Task

DIMENSIONS = 32
FAIL, NAN = "prism-fake: fail", "prism-fake: nan"


@dataclass(frozen=True, slots=True)
class FakeCost:
    """Milliseconds that a batch and each of its items take."""

    per_batch: float = 0.0
    per_item: float = 0.0

    @classmethod
    def parse(cls, name: str) -> FakeCost:
        """From `fake` or `fake:4,0.5`.

        Raises:
            ModelError: not of that form.
        """
        _, _, numbers = name.partition(":")
        if not numbers:
            return cls()
        try:
            per_batch, per_item = (float(number) for number in numbers.split(","))
        except ValueError:
            raise ModelError(f"{name!r}: write `fake` or `fake:MS_PER_BATCH,MS_PER_ITEM`") from None
        return cls(per_batch, per_item)

    def spend(self, items: int) -> None:
        time.sleep((self.per_batch + self.per_item * items) / 1000)


class FakeEmbedder:
    """See the module."""

    joint = True
    identity = eyes = "fake"
    media_bytes = 0
    wanted_size = None

    def __init__(self, cost: FakeCost) -> None:
        self.info = _info("embedder", DIMENSIONS)
        self._cost = cost

    def patched(self, content: Content) -> Content:
        return _patched(content)

    def prepare(self, contents: Sequence[Content], task: Task, instruction: str) -> Prepared:
        return Prepared({"words": [word for content in contents for word in _words(content)]}, _cost(contents))

    def forward(self, batch: Sequence[Prepared], threads: int = 0) -> npt.NDArray[np.float32]:
        self._cost.spend(len(batch))
        return np.stack([_misbehave(prepared, _vector(prepared)) for prepared in batch])


class FakeReranker:
    """See the module."""

    eyes = "fake"
    media_bytes = 0
    wanted_size = None

    def __init__(self, cost: FakeCost) -> None:
        self.info = _info("reranker", 0)
        self._cost = cost

    def patched(self, content: Content) -> Content:
        return _patched(content)

    def asked(self, query: Sequence[Content], instruction: str) -> Asked:
        return Asked([word for content in query for word in _words(content)])

    def prepare(self, asked: Asked, document: Sequence[Content]) -> Prepared:
        words = [word for content in document for word in _words(content)]
        return Prepared({"asked": set(asked.words), "words": words}, 1 + len(asked.words) + len(words))

    def forward(self, batch: Sequence[Prepared], threads: int = 0) -> npt.NDArray[np.float32]:
        self._cost.spend(len(batch))
        return np.asarray([_misbehave(prepared, _score(prepared)) for prepared in batch], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, of which nothing is kept on a device."""

    words: Sequence[str]
    nbytes: int = 0


def _info(kind: str, dimensions: int) -> ModelInfo:
    return ModelInfo(
        name="fake",
        kind=kind,
        revision="1",
        modalities=frozenset(Modality),
        dimensions=dimensions,
        max_tokens=8192,
        dtype="float32",
        device="cpu",
        joint=True,
    )


def _patched(content: Content) -> str | Patches:
    """What the vision tower sees is a hash of the pixels."""
    if isinstance(content, str | Patches):
        return content
    modality = Modality.VIDEO if isinstance(content, Clip) else Modality.IMAGE
    pixels = content.frames.tobytes() if isinstance(content, Clip) else content.tobytes()
    return Patches(modality, None, (1, 1, 1), seen=(hashlib.blake2b(pixels, digest_size=16).hexdigest(),))


def _words(content: Content) -> list[str]:
    content = _patched(content)
    if isinstance(content, str):
        return [content] if content in (FAIL, NAN) else content.lower().split() or [""]
    return list(content.seen)


def _cost(contents: Sequence[Content]) -> int:
    return 1 + sum(len(_words(content)) for content in contents)


def _vector(prepared: Prepared) -> npt.NDArray[np.float32]:
    """The sum of one fixed random direction per word."""
    total = np.zeros(DIMENSIONS)
    for word in prepared.features["words"]:
        seed = int.from_bytes(hashlib.blake2b(word.encode(errors="replace"), digest_size=8).digest())
        total += np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return total.astype(np.float32)


def _score(prepared: Prepared) -> npt.NDArray[np.float32]:
    asked = prepared.features["asked"]
    return np.float32(len(asked.intersection(prepared.features["words"])) / len(asked))  # type: ignore[return-value]


def _misbehave(prepared: Prepared, answer: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    words = prepared.features["words"]
    if FAIL in words:
        raise RuntimeError("asked to fail")
    return answer * np.float32("nan") if NAN in words else answer
