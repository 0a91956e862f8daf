"""The report: one HTML file with everything in it, pictures and frames of clips too."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import pybase64
from jinja2 import Environment, StrictUndefined
from PIL import Image

from weaviate_prism import __version__
from weaviate_prism.bundled.drawing import clip_frames, picture
from weaviate_prism.bundled.scenes import Scene
from weaviate_prism.demo.results import Results
from weaviate_prism.demo.search import Hit
from weaviate_prism.weaviate.binary import VERSION

PIXELS = 128
FRAMES = 4
GAP = 2


def write(path: Path, results: Results) -> None:
    """Writes the report. Everything that comes from objects or questions is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["image"] = image
    environment.globals["moves"] = moves
    template = environment.from_string(files(__package__).joinpath("report.html.j2").read_text("utf-8"))
    stamp = datetime.now().astimezone()
    path.write_text(template.render(results=results, version=__version__, weaviate=VERSION, stamp=stamp), "utf-8")


def moves(before: Sequence[Hit], after: Sequence[Hit]) -> list[int]:
    """How many places each result went up by reranking; negative for down."""
    places = {hit.entry.id: place for place, hit in enumerate(before)}
    return [places.get(hit.entry.id, place) - place for place, hit in enumerate(after)]


@cache
def image(scene: Scene) -> str:
    """A scene as a data URI: the picture, or the frames of a clip side by side."""
    drawing = film(scene) if scene.is_clip else picture(scene, PIXELS)
    buffer = io.BytesIO()
    drawing.save(buffer, "WEBP", quality=85)
    return "data:image/webp;base64," + pybase64.b64encode(buffer.getvalue()).decode()


def film(scene: Scene) -> Image.Image:
    """Frames of a clip from left to right."""
    strip = Image.new("RGB", (FRAMES * (PIXELS + GAP) - GAP, PIXELS), "#888")
    for index, frame in enumerate(clip_frames(scene, FRAMES, PIXELS)):
        strip.paste(Image.fromarray(frame), (index * (PIXELS + GAP), 0))
    return strip
