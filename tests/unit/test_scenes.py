"""The drawn world, and that training reads exactly what the published directories read."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from weaviate_prism.bundled import EMBEDDER_DIR, RERANKER_DIR
from weaviate_prism.bundled.drawing import clip_frames, clip_mp4, picture, picture_jpeg, picture_png, things
from weaviate_prism.bundled.scenes import COUNTS, KINDS, PICTURE_KINDS, Facts, Kind, Scene, all_facts, make_scenes

THREE_RED = Facts("group", "red", "circle", "small", "three")


def test_importing_the_package_loads_no_model_code() -> None:
    code = "import sys, weaviate_prism.bundled.scenes; sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scenes_are_distinct_and_follow_the_seed() -> None:
    scenes = make_scenes(400, seed=1, kinds=PICTURE_KINDS)
    assert len({scene.facts for scene in scenes}) == 400
    assert scenes == make_scenes(400, seed=1, kinds=PICTURE_KINDS)
    assert scenes != make_scenes(400, seed=2, kinds=PICTURE_KINDS)


def test_asking_for_more_scenes_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="only 42"):
        make_scenes(43, seed=1, kinds=("chart",))


@pytest.mark.parametrize(("kind", "size"), [("group", 192), ("pair", 1104), ("chart", 42), ("clip", 144)])
def test_size_of_the_world(kind: Kind, size: int) -> None:
    assert len(set(all_facts(kind))) == size


def test_every_phrase_is_true_of_its_scene_and_the_caption_says_all() -> None:
    for kind in KINDS:
        for facts in all_facts(kind):
            scene = Scene(facts, 0)
            assert scene.queries[0].facts == facts
            assert all(query.facts.matches(facts) for query in scene.queries)


def test_full_captions_are_unique() -> None:
    captions = [Scene(facts, 0).caption for kind in KINDS for facts in all_facts(kind)]
    assert len(set(captions)) == len(captions)


def test_relevance_counts_wrong_facts() -> None:
    any_size = Facts("group", "red", "circle", count="three")
    assert any_size.matches(THREE_RED)
    assert not THREE_RED.matches(any_size)
    blue, two_blue = (Facts("group", "blue", "circle", "small", count) for count in ("three", "two"))
    assert [THREE_RED.relevance(other) for other in (THREE_RED, blue, two_blue)] == [2, 1, 0]


@pytest.mark.parametrize("seed", range(20))
def test_objects_are_counted_and_kept_apart(seed: int) -> None:
    for scene in make_scenes(40, seed, ("group",)):
        drawn = things(scene)
        assert len(drawn) == COUNTS.index(scene.facts.count or "") + 1
        for thing in drawn:
            assert thing.radius < thing.x < 1 - thing.radius
            near = [other for other in drawn if other is not thing]
            assert all(np.hypot(thing.x - o.x, thing.y - o.y) > thing.radius + o.radius for o in near)


def test_pairs_lie_as_their_facts_say() -> None:
    for scene in make_scenes(200, 3, ("pair",)):
        first, second = things(scene)
        assert first.x < second.x if scene.facts.relation == "left" else first.y < second.y


def test_equal_facts_are_drawn_differently() -> None:
    one, other = (picture_png(Scene(THREE_RED, seed)) for seed in (1, 2))
    assert one != other
    assert one == picture_png(Scene(THREE_RED, 1))


def test_picture_files_decode_to_the_stated_size() -> None:
    for data, form in ((picture_png(Scene(THREE_RED, 1)), "PNG"), (picture_jpeg(Scene(THREE_RED, 1)), "JPEG")):
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == (form, (256, 256))


def test_a_clip_moves_as_its_facts_say() -> None:
    scene = Scene(Facts("clip", "green", "star", change="moves up"), 1)
    heights = [things(scene, moment)[0].y for moment in (0.0, 0.5, 1.0)]
    assert heights == sorted(heights, reverse=True)
    assert clip_frames(scene, 4, size=64).shape == (4, 64, 64, 3)


@pytest.mark.parametrize("seed", range(30))
def test_eight_frames_of_a_blink_show_both_states(seed: int) -> None:
    scene = Scene(Facts("clip", "red", "circle", change="blinks"), seed)
    seen = [bool(things(scene, frame / 7)) for frame in range(8)]
    assert any(seen)
    assert not all(seen)


def test_clip_files_decode() -> None:
    decoders = pytest.importorskip("torchcodec.decoders", reason="torchcodec is not installed")
    decoder = decoders.VideoDecoder(clip_mp4(Scene(Facts("clip", "red", "circle", change="grows"), 1)))
    assert len(decoder) == 24
    assert decoder.metadata.codec == "h264"
    assert tuple(decoder[0].shape) == (3, 256, 256)


@pytest.fixture(scope="module")
def embedder() -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(EMBEDDER_DIR), device="cpu")


@pytest.fixture(scope="module")
def reranker() -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(RERANKER_DIR), device="cpu")


SCENES = make_scenes(3, 5, PICTURE_KINDS)
CLIPS = make_scenes(2, 5, ("clip",))


def test_training_pixels_equal_the_processor(embedder: Any) -> None:
    from weaviate_prism.bundled.sight import picture_patches

    pictures = [picture(scene, oversample=1) for scene in SCENES]
    expected = embedder.processor.image_processor(pictures, return_tensors="pt").pixel_values
    patches = np.concatenate([picture_patches(scene) for scene in SCENES])
    torch.testing.assert_close(torch.from_numpy(patches).float() / 127.5 - 1, expected, rtol=0, atol=1 / 127)


@torch.no_grad()
def test_batched_tower_equals_transformers(embedder: Any) -> None:
    from weaviate_prism.bundled.sight import clip_patches, look

    tower = embedder[0].auto_model.visual
    patches = torch.from_numpy(np.concatenate([clip_patches(scene) for scene in CLIPS]))
    grid = torch.tensor([[4, 6, 6]] * len(CLIPS))
    expected = tower((patches.float() / 127.5 - 1).flatten(0, 1), grid_thw=grid)
    layers = look(tower, patches).layers.flatten(0, 1)
    torch.testing.assert_close(layers[:, 0], expected.pooler_output, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layers[:, 1], expected.deepstack_features[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_training_pages_give_the_scores_of_the_directories(embedder: Any, reranker: Any) -> None:
    from weaviate_prism.bundled.library import Library
    from weaviate_prism.bundled.pages import Item, Writer, bind
    from weaviate_prism.bundled.reading import last_tokens, read

    model = reranker[0].auto_model
    writer = Writer(reranker.tokenizer, seed=0)
    library = Library(model.model.visual, SCENES, writer, seed=0)
    text = Item(text=writer.encode("three red circles"))
    pages = [writer.pair_page(text, Item(picture=16 * row)) for row in range(3)]
    batch = bind([*pages, writer.pair_page(Item(picture=0), text)])
    last = last_tokens(read(model.model.language_model, batch, library.bank), batch)
    yes, no = (reranker.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    scores = torch.sigmoid(last @ (model.lm_head.weight[yes] - model.lm_head.weight[no]))
    pictures = [picture(scene, oversample=1) for scene in SCENES]
    pairs = [*(("three red circles", image) for image in pictures), (pictures[0], "three red circles")]
    np.testing.assert_allclose(scores.numpy(), reranker.predict(pairs), atol=5e-3)


WANTED = (
    Facts("group", "red", "circle", "small", "three"),
    Facts("chart", "blue", "line", change="rises"),
    Facts("pair", "red", "circle", relation="left", other_colour="blue", other_shape="square"),
    Facts("clip", "blue", "star", change="moves left"),
)


@pytest.fixture(scope="module")
def found(embedder: Any, reranker: Any) -> Callable[[Any], Facts]:
    """Searches a small collection the way Prism does; gives the facts of the first answer."""
    from weaviate_prism.bundled.evaluate import embed, probe, score

    scenes = [*(Scene(facts, 11) for facts in WANTED), *make_scenes(44, 12)]
    documents = [probe(scene) for scene in scenes]
    vectors = embed(embedder, documents)

    def search(query: Any) -> Facts:
        order = np.argsort(-(embed(embedder, [query]) @ vectors.T)[0])[:10]
        scores = score(reranker, query, [documents[row] for row in order])
        best: Facts = scenes[order[int(np.argmax(scores))]].facts
        return best

    return search


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("three red circles", Facts("group", "red", "circle", count="three")),
        ("rising line chart", Facts("chart", shape="line", change="rises")),
        ("a blue star that moves left", WANTED[3]),
        ("a red circle to the left of a blue square", WANTED[2]),
    ],
)
def test_words_find_what_they_say(found: Callable[[Any], Facts], text: str, facts: Facts) -> None:
    from weaviate_prism.bundled.evaluate import Probe

    assert facts.matches(found(Probe(text, facts)))


@pytest.mark.parametrize("facts", WANTED, ids=lambda facts: facts.kind)
def test_another_drawing_finds_the_same_scene(found: Callable[[Any], Facts], facts: Facts) -> None:
    from weaviate_prism.bundled.evaluate import probe

    assert facts.matches(found(probe(Scene(facts, 99))))
