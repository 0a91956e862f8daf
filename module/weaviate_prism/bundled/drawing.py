"""Pixels for scenes: pictures, clip frames and the encoded files made of them.

Everything is laid out on a unit square (0..1 from the left and from the top), so a training picture of 64 pixels and a
report picture of 256 are the same drawing.
"""

from __future__ import annotations

import colorsys
import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from weaviate_prism.bundled.charts import draw_chart
from weaviate_prism.bundled.scenes import COUNTS, Facts, Scene

RGB = tuple[int, int, int]
Frames = npt.NDArray[np.uint8]

PICTURE_SIZE = 256
CLIP_SECONDS = 2.0
CLIP_FPS = 12

#: hue in degrees, saturation and value of each colour; drawings move the hue by up to 7 degrees.
_HSV = {
    "red": (0, 0.85, 0.88),
    "yellow": (50, 0.90, 0.97),
    "green": (128, 0.75, 0.68),
    "blue": (217, 0.80, 0.90),
    "purple": (285, 0.62, 0.72),
    "black": (0, 0.0, 0.12),
}
_GAP = 0.02


@dataclass(frozen=True)
class Thing:
    """One drawn object: centre, radius and turn on the unit square."""

    colour: str
    shape: str
    x: float
    y: float
    radius: float
    turn: float
    paint: RGB


def picture(scene: Scene, size: int = PICTURE_SIZE, oversample: int = 2) -> Image.Image:
    """The scene as an RGB picture; a clip gives its middle frame."""
    return _render(scene, 0.5, size, oversample)


def picture_png(scene: Scene, size: int = PICTURE_SIZE) -> bytes:
    """The picture as a PNG file."""
    return _encoded(picture(scene, size), "PNG")


def picture_jpeg(scene: Scene, size: int = PICTURE_SIZE) -> bytes:
    """The picture as a JPEG file."""
    return _encoded(picture(scene, size), "JPEG")


def clip_frames(
    scene: Scene, count: int = int(CLIP_SECONDS * CLIP_FPS), size: int = PICTURE_SIZE, oversample: int = 2
) -> Frames:
    """`count` frames from the first to the last moment, uint8 of shape (count, size, size, 3)."""
    moments = [index / max(1, count - 1) for index in range(count)]
    return np.stack([np.asarray(_render(scene, moment, size, oversample)) for moment in moments])


def clip_mp4(scene: Scene, size: int = PICTURE_SIZE) -> bytes:
    """The clip as an H.264 MP4 of two seconds."""
    import torch
    from torchcodec.encoders import VideoEncoder

    frames = torch.from_numpy(clip_frames(scene, size=size)).permute(0, 3, 1, 2).contiguous()
    # yuv420p, because browsers do not play the 4:4:4 that x264 picks for RGB input.
    encoded = VideoEncoder(frames, frame_rate=CLIP_FPS).to_tensor(
        "mp4", codec="libx264", pixel_format="yuv420p", crf=20
    )
    return bytes(encoded.numpy().tobytes())


def things(scene: Scene, moment: float = 0.5) -> list[Thing]:
    """The objects to be seen at `moment` (0..1 of a clip); none for charts and for the dark half of a blink."""
    rng = random.Random(scene.seed)
    facts = scene.facts
    if facts.kind == "group":
        return _group(facts, rng)
    if facts.kind == "pair":
        return _pair(facts, rng)
    return _moving(facts, rng, moment) if facts.kind == "clip" else []


def tint(colour: str, rng: random.Random) -> RGB:
    """The colour's own paint, a little different each time."""
    hue, saturation, value = _HSV[colour]
    hue_shift, value_shift = rng.uniform(-7, 7) / 360, rng.uniform(-0.06, 0.04)
    red, green, blue = colorsys.hsv_to_rgb((hue / 360 + hue_shift) % 1, saturation, min(1.0, value + value_shift))
    return round(red * 255), round(green * 255), round(blue * 255)


def _render(scene: Scene, moment: float, size: int, oversample: int) -> Image.Image:
    image = Image.new("RGB", (size * oversample,) * 2, _background(scene))
    draw = ImageDraw.Draw(image)
    for thing in things(scene, moment):
        _draw_thing(draw, thing, image.width)
    if scene.facts.kind == "chart":
        rng = random.Random(scene.seed)
        draw_chart(draw, scene.facts, rng, tint(scene.facts.colour or "black", rng), image.width)
    return image if oversample == 1 else image.resize((size, size), Image.Resampling.LANCZOS)


def _background(scene: Scene) -> RGB:
    rng = random.Random(~scene.seed)
    base = rng.randint(228, 250)
    red, green, blue = (base + rng.randint(-6, 5) for _ in range(3))
    return red, green, blue


def _group(facts: Facts, rng: random.Random) -> list[Thing]:
    low, high = (0.078, 0.10) if facts.size == "small" else (0.16, 0.195)
    count = COUNTS.index(facts.count or "one") + 1
    radii = [rng.uniform(low, high) for _ in range(count)]
    return [
        _thing(facts.colour, facts.shape, x, y, radius, rng)
        for (x, y), radius in zip(_places(radii, rng), radii, strict=True)
    ]


def _places(radii: Sequence[float], rng: random.Random) -> list[tuple[float, float]]:
    """Centres of circles that neither touch each other nor leave the square; starts anew when it is stuck."""
    found: list[tuple[float, float]] = []
    while len(found) < len(radii):
        place = _free_place(found, radii, rng)
        found = [*found, place] if place else []
    return found


def _free_place(
    found: list[tuple[float, float]], radii: Sequence[float], rng: random.Random
) -> tuple[float, float] | None:
    radius = radii[len(found)]
    for _ in range(30):
        x, y = (rng.uniform(radius + _GAP, 1 - radius - _GAP) for _ in range(2))
        if all(math.dist((x, y), centre) > radius + other + _GAP for centre, other in zip(found, radii, strict=False)):
            return x, y
    return None


def _pair(facts: Facts, rng: random.Random) -> list[Thing]:
    apart, beside = rng.uniform(0.38, 0.56), rng.uniform(-0.14, 0.14)
    middle, across = rng.uniform(0.46, 0.54), rng.uniform(0.40, 0.60)
    first = (middle - apart / 2, across - beside / 2)
    second = (middle + apart / 2, across + beside / 2)
    if facts.relation == "above":
        first, second = first[::-1], second[::-1]
    return [
        _thing(facts.colour, facts.shape, *first, rng.uniform(0.12, 0.165), rng),
        _thing(facts.other_colour, facts.other_shape, *second, rng.uniform(0.12, 0.165), rng),
    ]


def _moving(facts: Facts, rng: random.Random, moment: float) -> list[Thing]:
    radius, across, reach = rng.uniform(0.13, 0.17), rng.uniform(0.35, 0.65), rng.uniform(0.24, 0.29)
    phase, thing = rng.random(), _thing(facts.colour, facts.shape, 0.5, 0.5, radius, rng)
    along = 0.5 + reach * (2 * moment - 1)
    match facts.change:
        case "moves right":
            return [_moved(thing, along, across, radius)]
        case "moves left":
            return [_moved(thing, 1 - along, across, radius)]
        case "moves down":
            return [_moved(thing, across, along, radius)]
        case "moves up":
            return [_moved(thing, across, 1 - along, radius)]
        case "grows":
            return [_moved(thing, across, 0.5, 0.07 + 0.23 * moment)]
    # Two and a half periods: eight evenly sampled frames see the object both there and gone.
    visible = (moment * 2.5 + 0.5 * phase) % 1 < 0.5
    return [_moved(thing, across, 1 - across, radius)] if visible else []


def _moved(thing: Thing, x: float, y: float, radius: float) -> Thing:
    return Thing(thing.colour, thing.shape, x, y, radius, thing.turn, thing.paint)


def _thing(colour: str | None, shape: str | None, x: float, y: float, radius: float, rng: random.Random) -> Thing:
    colour, shape = colour or "black", shape or "circle"
    return Thing(colour, shape, x, y, radius, rng.uniform(-0.2, 0.2), tint(colour, rng))


def _draw_thing(draw: ImageDraw.ImageDraw, thing: Thing, width: int) -> None:
    if thing.shape == "circle":
        # Slightly smaller than the other shapes' outer radius, so that areas are alike.
        x, y, radius = thing.x * width, thing.y * width, thing.radius * 0.92 * width
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=thing.paint)
        return
    draw.polygon([(x * width, y * width) for x, y in _corners(thing)], fill=thing.paint)


def _corners(thing: Thing) -> list[tuple[float, float]]:
    """Corners of a square, a triangle or a star with the thing's outer radius."""
    points, start = {"square": (4, math.pi / 4), "triangle": (3, -math.pi / 2), "star": (10, -math.pi / 2)}[thing.shape]
    corners = []
    for index in range(points):
        radius = thing.radius * (0.45 if thing.shape == "star" and index % 2 else 1.0)
        angle = start + thing.turn + 2 * math.pi * index / points
        corners.append((thing.x + radius * math.cos(angle), thing.y + radius * math.sin(angle)))
    return corners


def _encoded(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, quality=92)
    return buffer.getvalue()
