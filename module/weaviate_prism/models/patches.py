"""Pictures and clips as Qwen-VL's vision tower reads them: bytes until they are on the device, and made only once.

The library's processor makes floats of them on the CPU, and of a picture each frame twice: 3.7 ms and 7.4 MB for
640x480, where resizing and cutting bytes into patches takes 0.55 ms and 0.9 MB. Its own methods do both here, so
sizes are the model's; only the arithmetic is left for the device, in the same order and so bit for bit the same.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.image_utils import SizeDict

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Clip, Content, Patches, Size
from weaviate_prism.models.threads import use_threads
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.models.wanted import wanted_size
from weaviate_prism.values import Modality

# The arithmetic that is left out here, which must be wanted in full.
STEPS = ("do_resize", "do_rescale", "do_normalize")


class Patcher:
    """Stands for the image and video processors of one model; thread-safe, for it only reads their settings.

    `token_bytes` is what the vision tower makes of the patches of one token.

    Raises:
        NotApplicable: they are set to do something else than to resize, scale and normalise.
    """

    def __init__(self, processor: Any, token_bytes: int) -> None:
        self._token_bytes = token_bytes
        self._image, self._video = processor.image_processor, processor.video_processor
        for each in (self._image, self._video):
            require_steps(each)

    def wanted_size(self, width: int, height: int) -> Size:
        """See `models.base.Model`."""
        return wanted_size(self._image, width, height)

    @property
    def settings(self) -> str:
        """All that changes patches, besides the content."""
        return f"{self._image.to_json_string()} {self._video.to_json_string()}"

    def patches(self, content: Content) -> Content:
        """A picture or clip as patches; texts and patches as they are.

        Raises:
            InvalidInput: a side is more than 200 times the other.
        """
        use_threads(1)  # contents are prepared side by side
        try:
            if isinstance(content, Clip):
                return self._of_clip(content)
            if isinstance(content, str | Patches):
                return content
            return self._of_picture(torch.from_numpy(np.array(content)))
        except ValueError as error:
            raise InvalidInput(f"the model's processor cannot read it: {error}") from None

    def _of_picture(self, pixels: torch.Tensor) -> Patches:
        """From [height, width, 3]. One frame, which the device repeats."""
        settings = self._image
        resized = settings.resize(
            images=pixels.permute(2, 0, 1)[None],
            size=_size(settings),
            resample=settings.resample,
            factor=settings.patch_size * settings.merge_size,
        )
        patches, rows, columns = settings.patchify(resized, settings.patch_size, settings.merge_size, 1)
        return Patches(Modality.IMAGE, patches[0], (1, rows, columns), nbytes=self._bytes(patches[0], settings))

    def _of_clip(self, clip: Clip) -> Patches:
        settings = self._video
        resized = settings.resize(
            videos=torch.from_numpy(clip.frames)[None],
            size=_size(settings),
            resample=settings.resample,
            factor=settings.patch_size * settings.merge_size,
            temporal_factor=settings.temporal_patch_size,
            cap_pixels_per_frame=settings.cap_pixels_per_frame,
        )
        together = settings.temporal_patch_size
        patches, frames, rows, columns = settings.patchify(resized, settings.patch_size, settings.merge_size, together)
        last = clip.indices[-1]
        shown = [index / clip.fps for index in (*clip.indices, *[last] * (-len(clip.indices) % together))]
        seconds = tuple((shown[at] + shown[at + together - 1]) / 2 for at in range(0, len(shown), together))
        nbytes = self._bytes(patches[0], settings)
        return Patches(Modality.VIDEO, patches[0], (frames, rows, columns), seconds, nbytes)

    def _bytes(self, patches: torch.Tensor, settings: Any) -> int:
        """What they take, or the tower's answer in their place, whichever is more."""
        return int(max(patches.nbytes, len(patches) // settings.merge_size**2 * self._token_bytes))

    def on_device(
        self, some: Sequence[tuple[Modality, torch.Tensor]], device: torch.device, dtype: torch.dtype
    ) -> torch.Tensor:
        """[patches of all, values of a patch] one after another, scaled and normalised as the processor would."""
        return torch.cat(
            [
                self._normalised(modality, torch.cat([pixels for _, pixels in same]).to(device)).to(dtype)
                for modality, same in itertools.groupby(some, key=operator.itemgetter(0))
            ]
        )

    def _normalised(self, modality: Modality, pixels: torch.Tensor) -> torch.Tensor:
        settings = self._image if modality is Modality.IMAGE else self._video
        values = normalised(pixels, settings)
        if modality is Modality.IMAGE:  # [patches, channels, frames, values of a channel in one frame]
            values = values[:, :, None].expand(-1, -1, settings.temporal_patch_size, -1)
        return values.flatten(1)


def require_steps(settings: Any) -> None:
    """
    Raises:
        NotApplicable: this processor leaves out some of the arithmetic.
    """
    if not all(getattr(settings, step) for step in STEPS):
        raise NotApplicable(f"{type(settings).__name__} leaves out one of {', '.join(STEPS)}")


def normalised(pixels: torch.Tensor, settings: Any) -> torch.Tensor:
    """torch.uint8 [patches, values of a patch] -> torch.float32 [patches, channels, values of a channel]."""
    scale = 1.0 / settings.rescale_factor
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None] * scale
        for values in (settings.image_mean, settings.image_std)
    )
    values: torch.Tensor = pixels.float().unflatten(1, (len(mean), -1))
    return values.sub_(mean).div_(std)


def _size(settings: Any) -> SizeDict:
    return SizeDict(longest_edge=settings.size["longest_edge"], shortest_edge=settings.size["shortest_edge"])
