"""What the engine asks of a model. `prepare` runs on any CPU thread, `forward` on the device thread.

Nothing here knows of queues, deadlines or wires; nothing in the engine knows of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from weakref import ReferenceType

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from weaviate_prism.values import Modality, ModelInfo, Task

Picture: TypeAlias = Pillow.Image
Pixels: TypeAlias = npt.NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
"""Width and height."""
WantedSize: TypeAlias = Callable[[int, int], Size]
"""Of an upright picture of some size, how much a model needs: to be decoded to no less is as good, or nearly."""


class ModelError(RuntimeError):
    """A model cannot be loaded; the message says which and why."""


class NoRoomError(ModelError):
    """There is not enough memory for it; the message is fit for clients."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Clip:
    """Frames of a video, and what a model needs to know to time them."""

    frames: Pixels  # [frames, 3, height, width], RGB
    fps: float  # of the whole video
    total_frames: int  # in the whole video
    seconds: float  # duration of the whole video
    indices: tuple[int, ...]  # which frames of the whole video these are


@dataclass(eq=False, slots=True)
class Patches:
    """A picture or clip as the vision tower of one model reads it; shared by all inputs that have it."""

    modality: Modality
    pixels: Any  # torch.uint8 [patches, values of a patch]; None once the tower has seen them
    grid: tuple[int, int, int]  # frames of patches, rows and columns in each
    seconds: tuple[float, ...] = ()  # when each frame of patches of a clip is shown
    nbytes: int = 0  # of its pixels, or of what the tower makes of them if that is more
    payer: ReferenceType[Any] | None = None  # the input whose cost has them, as long as it lives
    seen: tuple[Any, ...] = ()  # what the tower made of it, once it has; read and written by device threads only


Content: TypeAlias = str | Picture | Clip | Patches
"""One decoded part. A picture is RGB, upright, without alpha."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One input, ready for the device. Only inputs of the same `group` may share a batch."""

    features: Any
    tokens: int  # that the model reads: for a picture, what the vision tower makes of it
    patches: int = 0  # that the vision tower has to look at
    group: Hashable = None
    length: int = 0  # rows of a batch are filled up to the longest of these; 0: nothing is filled up
    nbytes: int = 0  # of its arrays and tensors

    @property
    def cost(self) -> int:
        return self.tokens + self.patches


class Model(Protocol):
    """What embedders and rerankers have in common."""

    info: ModelInfo
    # A guess, rather too much, of what an input with media takes until the device is done with it. Texts count nothing:
    # 8,192 tokens are 0.2 MB.
    media_bytes: int
    # All that changes what its vision tower makes of a picture or clip: weights, dtype, processor settings. Empty where
    # nothing of that is kept.
    eyes: str

    @property
    def wanted_size(self) -> WantedSize | None:
        """None where pictures are to be decoded in full."""

    def patched(self, content: Content) -> Content:
        """A picture or clip as patches, where the model takes those from whoever decoded it. Thread-safe.

        Made once for all inputs that have it, of this model or another one with its `eyes`; `prepare` takes either.

        Raises:
            InvalidInput: the model cannot read it.
        """


class Embedder(Model, Protocol):
    """Turns contents into vectors."""

    @property
    def identity(self) -> str:
        """All that changes a vector besides the content: weights, dtype, processor settings."""

    @property
    def joint(self) -> bool:
        """Whether one input may have several parts (one message) or has exactly one."""

    def prepare(self, contents: Sequence[Content], task: Task, instruction: str) -> Prepared:
        """Tokens and patches of one input. Thread-safe.

        Raises:
            InvalidInput: the model cannot read it.
        """

    def forward(self, batch: Sequence[Prepared], threads: int = 0) -> npt.NDArray[np.float32]:
        """[len(batch), dimensions] float32, not normalised. Called by one thread only.

        Where it pauses (`models/pauses.py`), it may be called for another batch before it returns.
        `threads`: of the CPU for each operation; 0: all.
        """


class Asked(Protocol):
    """A query made ready for its documents. While it lives, so does what the model computes once for all of them."""

    @property
    def nbytes(self) -> int:
        """Of that, on the device."""


class Reranker(Model, Protocol):
    """Scores pairs of query and document."""

    def asked(self, query: Sequence[Content], instruction: str) -> Asked:
        """Makes a query ready, once for all of its documents. Thread-safe.

        Raises:
            InvalidInput: the model cannot read it.
            Unsupported: it has several parts, and the model takes one.
        """

    def prepare(self, asked: Any, document: Sequence[Content]) -> Prepared:
        """Tokens and patches of one pair. Thread-safe.

        Raises:
            InvalidInput: the model cannot read it.
            Unsupported: it has several parts, and the model takes one.
        """

    def forward(self, batch: Sequence[Prepared], threads: int = 0) -> npt.NDArray[np.float32]:
        """[len(batch)] float32: activated scores, or logits where the setting says so.

        Called by one thread only. `threads`: of the CPU for each operation; 0: all.
        """
