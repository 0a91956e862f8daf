"""In which size a model reads a picture, by the settings of its image processor: what `--decode fast` has to leave."""

from __future__ import annotations

from typing import Any

from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor, smart_resize

from weaviate_prism.models.base import Size


def wanted_size(settings: Any, width: int, height: int) -> Size:
    """Width and height to which the processor resizes a picture of this width and height, before it crops any; its
    own where the processor does something else."""
    size = settings.size
    if not settings.do_resize:
        return width, height
    if isinstance(settings, Qwen2VLImageProcessor):
        try:
            rows, columns = smart_resize(
                height,
                width,
                factor=settings.patch_size * settings.merge_size,
                min_pixels=size["shortest_edge"],
                max_pixels=size["longest_edge"],
            )
        except ValueError:  # too narrow for the model, which says so itself
            return width, height
        return columns, rows
    if size["height"] and size["width"]:
        return size["width"], size["height"]
    if (shortest := size["shortest_edge"]) and not size["longest_edge"]:
        scale = shortest / min(width, height)
        return max(shortest, round(width * scale)), max(shortest, round(height * scale))
    return width, height
