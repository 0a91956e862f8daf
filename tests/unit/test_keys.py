"""No two different things have one key in a cache: models, profiles, prompts, tasks, kinds and ways to cut an input."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from weaviate_prism.intake import digest
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Embedder, Patches
from weaviate_prism.models.fake import FakeCost, FakeEmbedder, FakeReranker
from weaviate_prism.profiles import ModelSpec, Profile
from weaviate_prism.values import Fusion, Image, Modality, Part, Target, Task, Text, Video
from weaviate_prism.vectorizing import Reading, inputs_for, plan
from weaviate_prism.vision_cache import VisionCache

MODEL = ModelSpec("embedder", "folder/model")
PROFILE = Profile("plain", MODEL, video_frames=8)
EMBEDDER: Embedder = FakeEmbedder(FakeCost())
# Each differs from the plain one in a single option that changes vectors.
MODELS = [
    replace(MODEL, **option)
    for option in (
        {"source": "other/model"},  # of the same name
        {"revision": "a" * 40},
        {"dtype": "bfloat16"},
        {"dtype": "float32"},
        {"min_pixels": 64},
        {"max_pixels": 64},
        {"attention": "eager"},
    )
]
PROFILES = [
    PROFILE,
    *(replace(PROFILE, model=model) for model in MODELS),
    replace(PROFILE, instruction="Find it."),
    replace(PROFILE, query_prompt="Find that."),
    replace(PROFILE, document_prompt="Find that."),
    replace(PROFILE, video_frames=4),
]
# What is read at once, as a client could mean to confuse it.
SAME_BYTES = b"\xff\xd8 text"
INPUTS: list[tuple[Part, ...]] = [
    (Text(""),),
    (Text(""), Text("")),
    (Text("ab"), Text("c")),
    (Text("a"), Text("bc")),
    (Text("abc"),),
    (Text("c"), Text("ab")),
    (Text("image"),),
    (Text("\ud800"),),
    (Text("?"),),
    (Text(digest(Text("ab"))[1]),),
    (Text("".join(digest(Text("ab")))),),
    (Image(SAME_BYTES),),
    (Video(SAME_BYTES),),
    (Text(SAME_BYTES.decode("latin-1")),),
    (Text("a"), Image(SAME_BYTES)),
    (Image(SAME_BYTES), Text("a")),
    (Image(SAME_BYTES), Image(SAME_BYTES)),
    (Image(SAME_BYTES * 2),),
]


def key(parts: tuple[Part, ...], profile: Profile = PROFILE, task: Task = Task.DOCUMENT, **target: Any) -> Hashable:
    """What the cache of embeddings gets for all parts together."""
    reading = Reading(plan(Target(**target), profile, task, EMBEDDER), parts)
    ((found, _),) = inputs_for(reading, {id(part): digest(part) for part in parts})
    return found


def asked() -> Iterator[tuple[object, Hashable]]:
    """Everything that changes a vector, in all combinations, and its key."""
    instructions = ("", "Find it.", "Find it.', 8")
    for profile, task, instruction, parts in itertools.product(PROFILES, Task, instructions, INPUTS):
        said = instruction or profile.prompt(task)
        yield (
            (profile.model, profile.video_frames, task, said, parts),
            key(parts, profile, task, instruction=instruction),
        )


def test_embeddings_have_one_key_exactly_if_everything_that_changes_them_is_equal() -> None:
    keys: dict[object, Hashable] = {}
    for what, found in asked():
        assert keys.setdefault(what, found) == found
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize("embedder", ["another name", "another revision"])
def test_models_that_answer_by_another_identity_have_keys_of_their_own(embedder: str) -> None:
    other = FakeEmbedder(FakeCost())
    other.identity = embedder
    target = Target()
    digests = {id(part): digest(part) for part in INPUTS[0]}
    ours, theirs = (
        inputs_for(Reading(plan(target, PROFILE, Task.QUERY, model), INPUTS[0]), digests)[0][0]
        for model in (EMBEDDER, other)
    )
    assert ours != theirs


@pytest.mark.parametrize("option", [{"dimensions": 4}, {"fusion": Fusion.JOINT}, {"name": "other"}])
def test_what_is_done_with_the_models_vector_afterwards_shares_it(option: dict[str, Any]) -> None:
    assert key((Text("a"),), replace(PROFILE, **option)) == key((Text("a"),))


def test_what_towers_have_seen_is_found_by_its_own_tower_kind_and_frames_only() -> None:
    cache = VisionCache(10**6, Metrics())
    kept: dict[tuple[str, Modality, str, int], Patches] = {}
    for eyes in ("tower", "tower 8", ""):
        model = FakeReranker(FakeCost())
        model.eyes = eyes
        media = (Image(SAME_BYTES), Video(SAME_BYTES), Image(b"8"), Video(b"8"))
        for part, frames in ((part, frames) for part in media for frames in (4, 8)):
            found = digest(part)
            frames_that_count = frames if isinstance(part, Video) else 0
            patches = Patches(part.modality, None, (1, 1, 1))
            mine = cache.keep(model, found, frames, patches)
            which = (eyes, part.modality, found[1], frames_that_count)
            assert kept.setdefault(which, mine) is mine
            assert (mine is patches) == (kept[which] is patches)
    assert len({id(patches) for patches in kept.values()}) == len(kept) == 3 * (2 + 2 * 2)
