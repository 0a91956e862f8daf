"""What callers pass, and the items of prism.v1 that it becomes. Files are read here, by the caller's own process.

A string is always a text: only a `pathlib.Path` names a file.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from weaviate_prism.errors import InvalidInput, PrismError
from weaviate_prism.v1 import prism_pb2 as pb

if TYPE_CHECKING:
    from PIL.Image import Image

Part: TypeAlias = "str | bytes | Path | Image | npt.NDArray[np.uint8]"
"""A text; or a picture or clip: the bytes of its file, the file, or a picture's pixels, in an array as
[height, width, 3] uint8 RGB."""

Input: TypeAlias = "Part | Sequence[Part] | Mapping[str, Part]"
"""One part, or several that the model reads in order as one message; keys of a mapping are text, image, video."""

One: TypeAlias = "Part | Mapping[str, Part]"
"""An input that may be passed by itself. Several parts without names are an input in a list only: a bare tuple may be
meant as several inputs."""

Pair: TypeAlias = "tuple[Input, Input]"
"""A query and a document."""

WANT_LIST = "wrap it in a list for one input of several parts, or give a list for several inputs"

MODALITIES = {"text": pb.MODALITY_TEXT, "image": pb.MODALITY_IMAGE, "video": pb.MODALITY_VIDEO}
KNOWN = "str, bytes, pathlib.Path, PIL.Image, or an array [height, width, 3] of uint8"

# What PNG holds as it is; other pictures (CMYK, floats) are sent as TIFF.
PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
# Pillow's own 6 takes four times as long, for a tenth of the bytes.
PNG_LEVEL = 1


def item_of(value: Input) -> pb.Item:
    """
    Raises:
        InvalidInput: not of a known type or shape, or a file or picture that cannot be read.
    """
    named = _parts(value)
    if not named:
        raise InvalidInput("has no parts")
    return pb.Item(parts=[_named_part(name, part, keyed=isinstance(value, Mapping)) for name, part in named])


def about_file(error: PrismError, value: Input) -> PrismError:
    """The service's error about an input, with the file's name as the caller gave it: `still.jpg: not a picture`.

    The service is told no names, and counts: `parts[1]: not a picture`.
    """
    parts = {f"parts[{number}]": part for number, (_, part) in enumerate(_parts(value))}
    place, _, message = error.message.partition(": ")
    if place not in parts and len(parts) == 1:
        place, message = "parts[0]", error.message
    part = parts.get(place)
    return type(error)(message).about(str(part)) if isinstance(part, Path) else error


def _parts(value: Input) -> list[tuple[str, Any]]:
    """Each with its name: none, where there is but one."""
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(f"parts[{number}]", part) for number, part in enumerate(value)]
    return [("", value)]


def _named_part(name: str, value: Any, *, keyed: bool) -> pb.Part:
    try:
        if not keyed:
            return _part(value)
        if name not in MODALITIES:
            raise InvalidInput(f"is not one of {', '.join(MODALITIES)}")
        if (name == "text") is not isinstance(value, str):
            # Sentence Transformers would open it
            raise InvalidInput(
                "must be a string" if name == "text" else "must not be a string; a file is a pathlib.Path"
            )
        part = _part(value)
        part.modality = MODALITIES[name]
        return part
    except PrismError as error:
        raise error.about(name) from None


def _part(value: Any) -> pb.Part:
    if isinstance(value, str):
        try:
            return pb.Part(text=value)
        except UnicodeEncodeError:
            raise InvalidInput("is no Unicode text: it has half of a surrogate pair") from None
    if isinstance(value, bytes):
        return pb.Part(data=value)
    if isinstance(value, Path):
        try:
            return pb.Part(data=value.read_bytes())
        except OSError as error:
            raise InvalidInput(f"{value} cannot be read: {error.strerror}") from None
    if isinstance(value, np.ndarray):
        return pb.Part(data=_encoded(_picture(value)))
    # whoever has a picture has imported Pillow
    if "PIL.Image" in sys.modules and isinstance(value, sys.modules["PIL.Image"].Image):
        return pb.Part(data=_encoded(value))
    raise InvalidInput(f"is of type {type(value).__name__}, not {KNOWN}")


def _picture(pixels: npt.NDArray[Any]) -> Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise InvalidInput(f"is an array {list(pixels.shape)} of {pixels.dtype}, not [height, width, 3] of uint8")
    from PIL import Image

    return Image.fromarray(pixels)


def _encoded(picture: Image) -> bytes:
    """The file of a picture without any loss, turned as its EXIF data say, as it would be if it came from its file."""
    from PIL import ImageOps

    file = io.BytesIO()
    try:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in PNG_MODES:
            upright.save(file, "PNG", compress_level=PNG_LEVEL)
        else:
            upright.save(file, "TIFF")
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: Pillow's for a damaged PNG that is loaded now
        raise InvalidInput(f"the picture cannot be encoded: {error}") from None
    return file.getvalue()
