"""Ways to compute a model, and which one is taken: the fastest that proves at load to answer as the standard one."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from weaviate_prism.models.base import Clip, Content, Model, Prepared
from weaviate_prism.models.standard import Standard
from weaviate_prism.values import Modality, ModelInfo

log = logging.getLogger(__name__)

# Answers of both ways may differ by so much: each number in float32, which rounds; in bfloat16, which differs between
# batches by 0.003 (and scores by 0.02) whichever way they are computed, vectors by their cosine.
CLOSE, CLOSE_COSINE, CLOSE_SCORE = 1e-4, 0.9995, 0.02


class NotApplicable(Exception):
    """A way is not made for this model; the message says why."""


class Tier(Protocol):
    """One way to compute a model. `prepare` and `patched` run on any CPU thread, `forward` on the device thread."""

    name: str
    media_bytes: int  # see `models.base.Model`, as for the next ones
    eyes: str

    def patched(self, content: Content) -> Content:
        """See `models.base.Model`."""

    def prepare(self, source: Any, contents: Sequence[Content], *, prompt: str | None, task: str | None) -> Prepared:
        """One input as `models.messages` made it of these contents.

        Raises:
            InvalidInput: the model cannot read it.
        """

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        """[len(batch), ...] on the device of the model."""


class PairTier(Tier, Protocol):
    """One way to compute a reranker: what pairs of one query have in common may be computed once."""

    def shared(self, sources: Sequence[Any], contents: Sequence[Content], *, prompt: str | None) -> Any:
        """What all pairs begin with that have this query, if there is anything to be gained by it, or None.

        `sources` are pairs of it with documents that begin in different ways, `contents` those of the query alone.

        Raises:
            InvalidInput: the model cannot read it.
        """

    def prepare(
        self, source: Any, contents: Sequence[Content], *, prompt: str | None, task: str | None, shared: Any = None
    ) -> Prepared:
        """As `Tier.prepare`, for a pair of which `shared` may have been computed."""


Sample: TypeAlias = tuple[Content, ...]
Answers: TypeAlias = npt.NDArray[np.float32]


def samples(info: ModelInfo) -> list[Sample]:
    """What the proof reads: texts, pictures that are to be enlarged and made smaller, a clip, and several at once."""
    noise = np.random.default_rng(0)

    def picture(width: int, height: int) -> Image.Image:
        coarse = noise.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    frames = noise.integers(0, 256, (4, 3, 60, 90), dtype=np.uint8)
    clip = Clip(frames, fps=12.5, total_frames=50, seconds=4.0, indices=(0, 16, 33, 49))
    texts = "a red bicycle, 42 \N{SNOWMAN}\n leans", "", "(quarterly revenue) " * 8
    found: list[Sample] = [(text,) for text in texts]
    if Modality.IMAGE in info.modalities:  # two of them of one size: their tokens are equal
        found += [(picture(50, 41),), (picture(50, 41),), (picture(420, 300), texts[0])]
    if Modality.VIDEO in info.modalities:
        found += [
            (clip,),
            ("before", picture(64, 200), clip, "after"),
            (clip, texts[0], picture(70, 70), picture(40, 90)),
        ]
    return found


def batches(prepared: Sequence[Prepared], info: ModelInfo) -> list[Sequence[Prepared]]:
    """How the proof asks: the standard way takes one kind of input at once, a faster one all of them together."""
    return [[each] for each in prepared] if info.tier == Standard.name else [prepared]


M = TypeVar("M", bound=Model)


def fastest(standard: M, faster: Mapping[str, Callable[[], M]], answers: Callable[[M], Answers]) -> M:
    """The first of the faster ways, by name, that is one for this model and whose `answers` are the standard one's."""
    info = standard.info
    expected = functools.cache(lambda: answers(standard))
    refused: list[str] = []
    for name, make in faster.items():
        try:
            model = make()
            differ = difference(expected(), answers(model), info)
        except NotApplicable as error:
            log.info("%s: not computed the way of %s: %s", info.name, name, error)
            continue
        except Exception as error:  # whatever a new version of a library changed: the standard way works
            log.warning("%s: the way of %s failed its proof", info.name, name, exc_info=error)
        else:
            if not differ:
                model.info = replace(model.info, refused_tiers=tuple(refused))
                return model
            log.warning("%s: the way of %s failed its proof: %s", info.name, name, differ)
        refused.append(name)
    standard.info = replace(info, refused_tiers=tuple(refused))
    return standard


def difference(expected: Answers, given: Answers, info: ModelInfo) -> str:
    """Why these are not the same vectors, of norm 1, or scores; empty if they are."""
    largest = float((np.abs(expected - given) / np.maximum(1.0, np.abs(expected))).max())  # logits go beyond 1
    if info.dtype == "float32" or info.kind == "reranker":
        limit = CLOSE if info.dtype == "float32" else CLOSE_SCORE
        return "" if largest <= limit else f"answers differ by {largest:.2g}, more than {limit}"
    cosine = float((expected * given).sum(axis=1).min())
    return "" if cosine >= CLOSE_COSINE else f"a cosine is {cosine:.5f}, less than {CLOSE_COSINE}"
