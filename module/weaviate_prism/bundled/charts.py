"""Three kinds of chart, the smallest visual documents: a line, bars and a pie."""

from __future__ import annotations

import random

from PIL import ImageDraw

from weaviate_prism.bundled.scenes import Facts

RGB = tuple[int, int, int]

_INK = (120, 120, 126)
_REST = (200, 202, 208)
_SHARES = {"quarter": (0.16, 0.28), "half": (0.46, 0.54), "most": (0.70, 0.84)}


def draw_chart(draw: ImageDraw.ImageDraw, facts: Facts, rng: random.Random, paint: RGB, width: int) -> None:
    """Draw the chart that `facts` names over the whole square of `width` pixels."""
    if facts.shape == "pie":
        _pie(draw, rng.uniform(*_SHARES[facts.change or "half"]), rng, paint, width)
        return
    _axes(draw, width)
    heights = _heights(5, rng)
    if facts.change == "falls":
        heights.reverse()
    (_bars if facts.shape == "bars" else _line)(draw, heights, paint, width)


def _heights(count: int, rng: random.Random) -> list[float]:
    """Rising values between 0.1 and 0.75, uneven but never turning back."""
    low, high = rng.uniform(0.08, 0.2), rng.uniform(0.6, 0.75)
    steps = [rng.uniform(0.5, 1.5) for _ in range(count - 1)]
    heights = [low]
    for step in steps:
        heights.append(heights[-1] + step * (high - low) / sum(steps))
    return heights


def _axes(draw: ImageDraw.ImageDraw, width: int) -> None:
    corner, thick = 0.12 * width, round(0.012 * width)
    draw.line([(corner, corner), (corner, width - corner), (width - corner, width - corner)], _INK, thick)


def _line(draw: ImageDraw.ImageDraw, heights: list[float], paint: RGB, width: int) -> None:
    step = 0.68 / (len(heights) - 1)
    points = [((0.17 + step * index) * width, (0.86 - height) * width) for index, height in enumerate(heights)]
    draw.line(points, paint, round(0.035 * width), joint="curve")
    radius = 0.03 * width
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=paint)


def _bars(draw: ImageDraw.ImageDraw, heights: list[float], paint: RGB, width: int) -> None:
    step = 0.72 / len(heights)
    for index, height in enumerate(heights):
        left = 0.155 + step * index
        draw.rectangle(
            (left * width, (0.865 - height) * width, (left + 0.68 * step) * width, 0.865 * width), fill=paint
        )


def _pie(draw: ImageDraw.ImageDraw, share: float, rng: random.Random, paint: RGB, width: int) -> None:
    radius, start = rng.uniform(0.33, 0.40), rng.uniform(0, 360)
    box = ((0.5 - radius) * width, (0.5 - radius) * width, (0.5 + radius) * width, (0.5 + radius) * width)
    draw.ellipse(box, fill=_REST)
    draw.pieslice(box, start, start + 360 * share, fill=paint)
