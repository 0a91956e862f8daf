"""Small media of every kind."""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path

import pytest
from PIL import Image


@functools.cache
def picture(colour: str = "red", kind: str = "PNG", size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(file, kind)
    return file.getvalue()


@functools.cache
def clip() -> bytes:
    """Eight grey frames of 32 x 32 pixels at 8 frames a second, by torchcodec's encoder.

    Skips the test where Prism could not read it.
    """
    pytest.importorskip("torchcodec", reason="torchcodec is not installed")
    return Path(__file__).with_name("clip.mp4").read_bytes()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
