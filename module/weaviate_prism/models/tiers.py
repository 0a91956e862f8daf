"""Ways to compute a model, and which one is taken: the fastest that proves at load to answer as the standard one."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from weaviate_prism.errors import PrismError
from weaviate_prism.models.base import Clip, Content, Model, Prepared, WantedSize
from weaviate_prism.models.standard import Standard
from weaviate_prism.profiles import EMBEDDER
from weaviate_prism.values import Modality, ModelInfo

log = logging.getLogger(__name__)

# Answers may differ by so much from what is expected: each number in float32, which rounds; in bfloat16, which differs
# between batches by 0.003 (and scores by 0.02) whichever way they are computed, vectors by their cosine.
CLOSE, CLOSE_COSINE, CLOSE_SCORE = 1e-4, 0.9995, 0.02
# The answer that is farthest off is one of a few dozen, and chance has a part in it: by as much it may be farther.
HARDLY_WORSE = 1.5


class NotApplicable(Exception):
    """A way is not made for this model; the message says why."""


class Coarse(Exception):
    """No way to compute a model in bfloat16 answers as float32 does; the message says how far the standard is off."""


class Tier(Protocol):
    """One way to compute a model. `prepare` and `patched` run on any CPU thread, `forward` on the device thread."""

    name: str
    media_bytes: int  # see `models.base.Model`, as for the next ones
    eyes: str

    @property
    def wanted_size(self) -> WantedSize | None:
        """See `models.base.Model`, whatever the setting `decode` says; None where it is not known."""

    def patched(self, content: Content) -> Content:
        """See `models.base.Model`."""

    def prepare(self, source: Any, contents: Sequence[Content], *, prompt: str | None, task: str | None) -> Prepared:
        """One input as `models.messages` made it of these contents.

        Raises:
            InvalidInput: the model cannot read it.
        """

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        """[len(batch), ...] on the device of the model."""


class Shared(Protocol):
    """What pairs of one query have in common."""

    nbytes: int  # of what is kept of it on the device


class PairTier(Tier, Protocol):
    """One way to compute a reranker: what pairs of one query have in common may be computed once."""

    def shared(self, sources: Sequence[Any], contents: Sequence[Content], *, prompt: str | None) -> Shared | None:
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
    """What proofs read: texts, pictures that are to be enlarged and made smaller, a clip, and several at once.

    Those of them that the model reads; a reranker without messages reads texts only.
    """
    noise = np.random.default_rng(0)

    def picture(width: int, height: int) -> Image.Image:
        coarse = noise.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    frames = noise.integers(0, 256, (4, 3, 60, 90), dtype=np.uint8)
    clip = Clip(frames, fps=12.5, total_frames=50, seconds=4.0, indices=(0, 16, 33, 49))
    text, *others = "A red bicycle, 42 \N{SNOWMAN}\n leans", "", "(quarterly revenue) " * 8
    if reads_one_part(info):
        others.append("more than CLIP reads " * 20)
    found: list[Sample] = [(text,), *((other,) for other in others)]
    media = info.modalities if info.joint or info.kind == EMBEDDER else ()
    if Modality.IMAGE in media:
        found += [(picture(50, 41),), (picture(50, 41),)]  # of one size: their tokens are equal
        found += [(picture(420, 300), text)] if info.joint else [(picture(420, 300),), (picture(64, 201),)]
    if Modality.VIDEO in media:
        found.append((clip,))
        if info.joint:
            found.append(("before", picture(64, 200), clip, "after"))
            found.append((clip, text, picture(70, 70), picture(40, 90)))
    return found


def questions(read: Sequence[Sequence[Content]]) -> list[tuple[Sequence[Content], str, Sequence[Sequence[Content]]]]:
    """Query, instruction and documents: each sample on each side, several documents of one query, and media on both.

    Not each with each: of 262 million weights on two cores, 28 pairs took minutes.
    """
    text, *_, before_last, last = read
    asked = [(text, "", read), (last, "", [text, before_last])]
    return asked + [(query, "Judge it.", [text]) for query in read]


def readable(prepare: Callable[..., Prepared], inputs: Iterable[Any]) -> list[Prepared]:
    """Those that the model reads: jina-reranker-m0 has a processor for clips, but its template no place for them."""
    found = []
    for each in inputs:
        with contextlib.suppress(PrismError):
            found.append(prepare(each))
    return found


def batches(prepared: Sequence[Prepared], info: ModelInfo) -> list[Sequence[Prepared]]:
    """How the proof asks: the standard way takes one kind of input at once, a faster one all of them together, or as
    many neighbours as may share a batch.
    """
    if info.tier == Standard.name:
        return [[each] for each in prepared]
    if reads_one_part(info):
        return [list(some) for _, some in itertools.groupby(prepared, key=lambda each: each.group)]
    return [prepared]


def reads_one_part(info: ModelInfo) -> bool:
    """Whether each input is a text or a picture, and never both."""
    return info.kind == EMBEDDER and not info.joint


M = TypeVar("M", bound=Model)


def fastest(
    standard: M,
    faster: Mapping[str, Callable[[], M]],
    answers: Callable[[M], Answers],
    reference: Answers | None = None,
    *,
    obeyed: bool = False,
) -> M:
    """The first of the faster ways, by name, that is one for this model and answers as expected; else the standard one.

    Args:
        reference: what is expected: the model's answers in float32, where it is loaded in bfloat16. None: what the
            standard way answers.
        obeyed: bfloat16 is asked for, however coarse: a way may be about as far off as the standard one.

    Raises:
        Coarse: not even the standard way answers as the reference, and bfloat16 is not asked for.
    """
    expected = functools.cache(lambda: answers(standard) if reference is None else reference)
    of_standard = functools.cache(lambda: distance(expected(), answers(standard), standard.info))

    def near(off: Distance) -> bool:
        coarse = obeyed and reference is not None
        return off.within or (coarse and off.share <= HARDLY_WORSE * of_standard().share)

    refused: list[str] = []
    for name, make in faster.items():
        try:
            model = make()
            off = distance(expected(), answers(model), standard.info)
            proved = near(off)
        except NotApplicable as error:
            log.info("%s: not computed the way of %s: %s", standard.info.name, name, error)
            continue
        except Exception as error:  # whatever a new version of a library changed: the standard way works
            log.warning("%s: the way of %s failed its proof", standard.info.name, name, exc_info=error)
        else:
            if proved:
                return _noted(model, refused, off if reference is not None else None)
            log.warning("%s: the way of %s failed its proof: %s", standard.info.name, name, off.words)
        refused.append(name)
    if reference is None:
        return _noted(standard, refused, None)
    if not (of_standard().within or obeyed):
        raise Coarse(of_standard().words)
    return _noted(standard, refused, of_standard())


def _noted(model: M, refused: Sequence[str], from_float32: Distance | None) -> M:
    """With what was found out about it in its `info`."""
    model.info = replace(model.info, refused_tiers=tuple(refused))
    if from_float32 is not None:
        note = f"against float32 {from_float32.words}"
        if not from_float32.within:
            note = f"bfloat16 is not proved: {note}"
        log.log(logging.INFO if from_float32.within else logging.WARNING, "%s: in bfloat16: %s", model.info.name, note)
        model.info = replace(model.info, dtype_note=note)
    return model


class Distance(NamedTuple):
    """Of a model's answers from what is expected."""

    share: float  # of what it may be
    words: str

    @property
    def within(self) -> bool:
        """Whether it is no more than it may be; never if something is not a number."""
        return self.share <= 1


def distance(expected: Answers, given: Answers, info: ModelInfo) -> Distance:
    """Of vectors of norm 1, or of scores."""
    largest = float((np.abs(expected - given) / np.maximum(1.0, np.abs(expected))).max())  # logits go beyond 1
    if info.dtype == "float32" or info.kind == "reranker":
        limit = CLOSE if info.dtype == "float32" else CLOSE_SCORE
        return Distance(largest / limit, f"answers differ by {largest:.2g} (at most {limit})")
    cosine = float((expected * given).sum(axis=1).min())
    share = (1 - cosine) / (1 - CLOSE_COSINE)
    return Distance(share, f"the lowest cosine is {cosine:.5f} (at least {CLOSE_COSINE})")
