"""The nouns of Prism: what a request is made of and what comes back.

Everything here is immutable and knows nothing of models, wires or files. Media stay as the bytes
that the client sent until `media.py` decodes them.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from weaviate_prism.errors import PrismError

Vector: TypeAlias = npt.NDArray[np.float32]
"""One embedding: float32, shape [dimensions], L2 norm 1."""

# What a document that cannot be scored gets: below any score of any model.
LOWEST_SCORE = float(np.finfo(np.float32).min)

# Published instructions have 50 to 300; longer ones would push out what they are about.
MAX_INSTRUCTION_CHARACTERS = 2000


class Modality(enum.StrEnum):
    """What a part of an item is made of."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"


class Task(enum.StrEnum):
    """Which side of a search an item is on; selects the model's prompt."""

    DOCUMENT = "document"
    QUERY = "query"


class Fusion(enum.StrEnum):
    """How the parts of an item become one vector."""

    JOINT = "joint"  # all parts as one message to the model
    MEAN = "mean"  # weighted average of the parts' unit vectors, normalised again


class Priority(enum.IntEnum):
    """Which work overtakes which: somebody waits for a query, nobody watches a bulk insert."""

    QUERY = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class Text:
    """A text; may be empty (Weaviate sends "" for null, numbers and text[] when reranking)."""

    text: str
    field: str = ""  # the Weaviate property it came from, if the door says so

    @property
    def modality(self) -> Modality:
        return Modality.TEXT


@dataclass(frozen=True, slots=True)
class Image:
    """An encoded picture (JPEG, PNG, WebP, GIF, ...), as the client sent it."""

    data: bytes
    field: str = ""

    @property
    def modality(self) -> Modality:
        return Modality.IMAGE


@dataclass(frozen=True, slots=True)
class Video:
    """An encoded clip (MP4, WebM, MKV, ...), as the client sent it."""

    data: bytes
    field: str = ""

    @property
    def modality(self) -> Modality:
        return Modality.VIDEO


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture or clip that the model has seen before."""

    patches: Any  # models.base.Patches
    modality: Modality
    field: str = ""


Part: TypeAlias = Text | Image | Video | Seen

Digest: TypeAlias = tuple[str, str]
"""What tells contents apart: modality and SHA-256 in hex, of media as Weaviate takes it for a blobHash property."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Media that came in before, by the digest that Weaviate keeps of them in a blobHash property."""

    digest: str  # SHA-256 of their standard padded base64, in lower-case hex
    field: str = ""
    stated: Modality | None = None  # what the caller says they are
    or_text: bool = False  # a text where no such media are stored: a property of texts may hold such words


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to vectorize or to rank: one part, or several that belong together."""

    parts: tuple[Part, ...]
    # Fields with parts that the door could not read, and why: they fail only the targets that read them.
    unreadable: tuple[tuple[str, PrismError], ...] = ()
    id: str = ""  # the caller's own name for it, for log lines only
    # Parts that are still to be read from the store, with their places among all; ascending.
    stored: tuple[tuple[int, Stored], ...] = ()


def item_of(
    parts: Sequence[Part | Stored], unreadable: Sequence[tuple[str, PrismError]] = (), item_id: str = ""
) -> Item:
    """An item of parts of which some may still be in the store."""
    given = tuple(part for part in parts if not isinstance(part, Stored))
    stored = tuple((place, part) for place, part in enumerate(parts) if isinstance(part, Stored))
    return Item(given, tuple(unreadable), item_id, stored)


@dataclass(frozen=True, slots=True)
class Target:
    """What to compute for items: the default is the default profile, for all of them."""

    model: str = ""  # a profile, or a model by its own name; empty: the default
    dimensions: int = 0  # 0: the profile's, else the model's own; the vector is cut, then normalised again
    instruction: str = ""  # replaces the model's prompt for the task; empty: the profile's, else the model's own
    fields: tuple[str, ...] = ()  # which parts are read, by field; empty: all
    fusion: Fusion | None = None  # None: the profile's, else joint where the model takes messages, else mean
    weights: tuple[float, ...] = ()  # of the fields, for a mean; any scale; empty: all the same
    items: tuple[int, ...] = ()  # positions of the items that are read, ascending; empty: all


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a loaded model."""

    name: str
    kind: str  # "embedder" | "reranker"
    revision: str
    modalities: frozenset[Modality]
    dimensions: int  # 0 for rerankers
    max_tokens: int
    dtype: str
    device: str
    prompts: tuple[str, ...] = ()  # names of the prompts that the model brings
    tier: str = "standard"  # how it is computed; see `models.tiers`
    refused_tiers: tuple[str, ...] = ()  # faster ways that failed their proof
    decode: str = "exact"  # "fast": it is handed pictures that were decoded smaller, which changes vectors a little
    joint: bool = False  # whether it reads several parts of an item as one message
    dtype_note: str = ""  # how near bfloat16 is to float32, or why it was not taken; empty where nobody compared


@dataclass(frozen=True, slots=True)
class ProfileInfo:
    """What is told of a profile; empty and 0 are the model's own."""

    name: str
    kind: str  # "embedder" | "reranker"
    model: str
    loaded: bool
    default: bool  # of its kind
    dimensions: int
    fusion: Fusion | None
    instruction: str
    query_prompt: str
    document_prompt: str
    video_frames: int


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What `Module.Info` and `/meta` tell."""

    version: str
    ready: bool
    models: Sequence[ModelInfo]
    profiles: Sequence[ProfileInfo]
    limits: dict[str, int] = field(default_factory=dict)
    request_timeout: float = 0.0  # seconds
    media_store: bool = False  # whether media of blobHash properties are kept
    clips_refused: str = ""  # why, where clips cannot be decoded
