"""The README's Python runs as it stands, in its order, against a real Weaviate and the bundled models."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from pathlib import Path

from servers import Stack
from weaviate_prism.bundled.drawing import clip_mp4, picture_jpeg
from weaviate_prism.bundled.scenes import make_scenes

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_python_block_of_the_readme_runs(bundled: Stack) -> None:
    names: dict[str, object] = {"client": bundled.client, "prism_url": bundled.prism.url}
    *collections, search = BLOCKS
    assert len(collections) == 2
    for block in collections:
        exec(compile(block, "README.md", "exec"), names)
    films = bundled.client.collections.get("Film")
    for scene, clip in zip(make_scenes(4, 1, kinds=("pair",)), make_scenes(4, 1, kinds=("clip",)), strict=True):
        media = {"still": picture_jpeg(scene), "trailer": clip_mp4(clip)}
        encoded = {name: base64.b64encode(data).decode() for name, data in media.items()}
        films.data.insert({"title": scene.caption, **encoded})
    photos = bundled.client.collections.get("Photo")
    photos.data.insert({"caption": "a star"})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(search, "README.md", "exec"), names)
    scores = [float(line.split()[0]) for line in printed.getvalue().splitlines()]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
