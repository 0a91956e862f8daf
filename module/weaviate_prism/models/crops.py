"""Pictures as CLIP and SigLIP read them: all of one size, and bytes until they are on the device.

The library's processor makes floats of them on the CPU: 2.9 ms and 0.6 MB for 640x480, where its own resizing and
cropping of bytes takes 1.1 ms and 0.15 MB. The arithmetic that is left is done on the device, in the same order and
so bit for bit the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import CLIPImageProcessor, SiglipImageProcessor

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Patches, Picture, Size
from weaviate_prism.models.patches import normalised, require_steps
from weaviate_prism.models.threads import use_threads
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.models.wanted import wanted_size
from weaviate_prism.values import Modality

# Where the shorter side is resized to a fixed length, the other one grows with it: 1x9000 to 224x2,016,000.
MAX_ASPECT = 200


class Crops:
    """Stands for the image processor of one model; thread-safe, for it only reads its settings.

    Raises:
        NotApplicable: it is of another kind, leaves a step out, or its pictures are not of the size that is read.
    """

    def __init__(self, processor: Any, side: int, patch: int) -> None:
        if type(processor) not in (CLIPImageProcessor, SiglipImageProcessor):
            raise NotApplicable(f"its pictures are prepared by {type(processor).__name__}")
        require_steps(processor)
        if processor.do_pad:
            raise NotApplicable("its pictures are padded")
        size = processor.crop_size if processor.do_center_crop else processor.size
        if (size.height, size.width) != (side, side):
            raise NotApplicable(f"its pictures are not cut to {side}x{side}")
        self._settings, self._patch = processor, patch
        self.rows = side // patch  # of patches; what is left at the edges is not read
        self.nbytes = 3 * (self.rows * patch) ** 2

    def wanted_size(self, width: int, height: int) -> Size:
        """See `models.tiers.Tier`."""
        return wanted_size(self._settings, width, height)

    def patches(self, picture: Picture) -> Patches:
        """
        Raises:
            InvalidInput: a side is more than 200 times the other, where that matters.
        """
        use_threads(1)  # pictures are prepared side by side
        settings, patch, rows = self._settings, self._patch, self.rows
        if settings.size.shortest_edge and max(picture.size) > MAX_ASPECT * min(picture.size):
            raise InvalidInput(f"a side is more than {MAX_ASPECT} times the other")
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        pixels = settings.resize(pixels, size=settings.size, resample=settings.resample)
        if settings.do_center_crop:
            pixels = settings.center_crop(pixels, settings.crop_size)
        grid = pixels[0].unfold(1, patch, patch).unfold(2, patch, patch)  # [3, rows, rows, patch, patch]
        found = grid.permute(1, 2, 0, 3, 4).reshape(rows**2, -1)
        return Patches(Modality.IMAGE, found, (1, rows, rows), nbytes=found.nbytes)

    def on_device(self, some: Sequence[Patches], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """[pictures, patches of each, values of a patch], scaled and normalised as the processor would."""
        pixels = torch.cat([each.pixels for each in some]).to(device)
        values: torch.Tensor = normalised(pixels, self._settings).flatten(1).to(dtype)
        return values.view(len(some), self.rows**2, -1)
