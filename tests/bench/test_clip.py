"""Both ways to compute a CLIP of ViT-B/32's size, turn by turn: the same weights, threads and decoded pictures.

`faster_per_standard` below 1 means that the faster way takes so much of the standard way's time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from bench.test_tiers import SETTINGS, prepared, report_ratio
from bench.timing import medians
from tiers import loaded_the_standard_way
from tiny import towers
from weaviate_prism.bundled.drawing import picture_jpeg
from weaviate_prism.bundled.scenes import PICTURE_KINDS, make_scenes
from weaviate_prism.media import MediaDecoder
from weaviate_prism.models import embedder
from weaviate_prism.models.base import Content
from weaviate_prism.models.clip import DualEncoder
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.models.standard import Standard
from weaviate_prism.profiles import ModelSpec

# https://huggingface.co/openai/clip-vit-base-patch32
TEXT = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
PATCHES = {"image_size": 224, "patch_size": 32}
ROUNDS = 9


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SentenceEmbedder]:
    directory = towers.clip(tmp_path_factory.mktemp("clip-b32"), text=TEXT, vision=VISION | PATCHES, width=512)
    spec = ModelSpec("embedder", str(directory), dtype="float32")
    faster = embedder.load(spec, SETTINGS)
    with loaded_the_standard_way():
        standard = embedder.load(spec, SETTINGS)
    assert (faster.info.tier, standard.info.tier) == (DualEncoder.name, Standard.name)
    return {"faster": faster, "standard": standard}


@pytest.fixture(scope="module")
def kinds() -> dict[str, list[Content]]:
    decoder = MediaDecoder(SETTINGS)
    scenes = make_scenes(16, seed=1, kinds=PICTURE_KINDS)
    pictures = [decoder.picture(picture_jpeg(scene)).resize((640, 480)) for scene in scenes]
    return {"texts": [scene.caption for scene in scenes], "pictures": list(pictures)}


@pytest.mark.parametrize("kind", ["texts", "pictures"])
def test_preparing_4(
    ways: dict[str, SentenceEmbedder], kinds: dict[str, list[Content]], report: Callable[..., None], kind: str
) -> None:
    calls = {way: functools.partial(prepared, model, kinds[kind][:4]) for way, model in ways.items()}
    report_ratio(report, medians(calls, ROUNDS))


@pytest.mark.parametrize("count", [1, 4, 16])
@pytest.mark.parametrize("kind", ["texts", "pictures"])
def test_computing(
    ways: dict[str, SentenceEmbedder],
    kinds: dict[str, list[Content]],
    report: Callable[..., None],
    kind: str,
    count: int,
) -> None:
    calls = {way: functools.partial(model.forward, prepared(model, kinds[kind][:count])) for way, model in ways.items()}
    report_ratio(report, medians(calls, ROUNDS))
