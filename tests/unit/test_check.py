"""What `prism check` makes of what it reads: levels, words and cures. Against real services: e2e/test_check.py."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from readme import README
from weaviate_prism.check import (
    addresses,
    blob_hash,
    checks,
    fields,
    modules,
    profiles,
    report,
    schema,
    serving,
    survey,
    vectors,
)
from weaviate_prism.check.command import parse
from weaviate_prism.check.database import Database, Stored
from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.check.known import MODULES
from weaviate_prism.check.schema import Collection, Vector
from weaviate_prism.check.service import RefusedError
from weaviate_prism.check.vectors import Comparison
from weaviate_prism.server.rest import cohere, nvidia, voyageai

PRISM = "http://prism:8090"
MODEL = {"name": "m", "revision": "1", "kind": "embedder", "dimensions": 4, "dtype": "float32", "device": "cpu"}
META: Mapping[str, Any] = {
    "version": "1",
    "models": [{**MODEL, "modalities": ["image", "text"]}],
    "profiles": [
        {"name": "plain", "kind": "embedder", "model": "org/m", "loaded": True, "default": True, "fusion": None},
        {"name": "whole", "kind": "embedder", "model": "org/m", "loaded": True, "default": False, "fusion": "joint"},
        {"name": "rare", "kind": "embedder", "model": "big", "loaded": False, "default": False, "fusion": None},
        {"name": "judge", "kind": "reranker", "model": "r", "loaded": True, "default": True, "fusion": None},
    ],
    "request_timeout": 50.0,
    "clips_refused": "",
}
TYPES = {"title": "text", "tags": "text[]", "picture": "blob", "photo": "blobHash", "year": "int"}


def clip(**config: Any) -> Vector:
    return Vector("default", "multi2vec-clip", config)


def film(*all_vectors: Vector, types: Mapping[str, str] = TYPES, **more: Any) -> Collection:
    return Collection("Film", types, all_vectors, **more)


def found(findings: Iterable[Finding], check: str) -> list[tuple[str, str]]:
    """Level and words of those of one check."""
    return [(each.level.value, each.says) for each in findings if each.check == check]


# -- schema ------------------------------------------------------------------------------------------------------------


def test_a_schema_is_read_with_named_vectors_and_without() -> None:
    properties = [
        {"name": "title", "dataType": ["text"]},
        {"name": "photo", "dataType": ["blob"], "moduleConfig": {"text2vec-transformers": {"skip": True}}},
    ]
    old = {
        "class": "Old",
        "properties": properties,
        "vectorizer": "multi2vec-bind",
        "moduleConfig": {"multi2vec-bind": {"textFields": ["title"]}, "reranker-transformers": {}},
    }
    named = {
        "class": "New",
        "vectorConfig": {
            "a": {"vectorizer": {"multi2vec-prism": {"imageFields": ["photo"]}}, "vectorIndexType": "hnsw"},
            "dropped": {"vectorizer": {"multi2vec-prism": {}}, "vectorIndexType": "none"},
        },
        "multiTenancyConfig": {"enabled": True},
    }
    new, read = schema.collections({"classes": [old, named]})
    assert (new.name, [vector.name for vector in new.vectors], new.multi_tenant) == ("New", ["a"], True)
    (vector,) = read.vectors
    assert (vector.module, vector.fields("textFields"), read.label(vector)) == ("multi2vec-bind", ["title"], "Old")
    assert read.types == {"title": "text", "photo": "blob"}
    assert read.rerankers == {"reranker-transformers": {}}
    assert read.skipped == {"text2vec-transformers": frozenset({"photo"})}


# -- modules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "level", "says"),
    [
        ({**META, "limits": {}}, "green", "reaches this Prism"),
        ({**META, "version": "2"}, "yellow", "another Prism"),
        ({"model": "openai/clip"}, "yellow", "another service"),
        ({"error": 'Get "http://u:s3cret@prism:8090/meta": EOF'}, "red", "http://***@prism:8090/meta"),
    ],
)
def test_a_module_reaches_this_prism_or_not(told: Any, level: str, says: str) -> None:
    ((got, words), *_) = found(modules.findings({"multi2vec-bind": told}, META, []), "modules")
    assert got == level
    assert says in words


def test_what_collections_use_must_be_enabled() -> None:
    collection = film(clip(), rerankers={"reranker-cohere": {}})
    told = found(modules.findings({"reranker-transformers": META}, META, [collection]), "modules")
    assert [(level, says.split()[0]) for level, says in told if level == "red"] == [
        ("red", "multi2vec-clip"),
        ("red", "reranker-cohere"),
        ("red", "no"),  # module that can have vectors from Prism
    ]


@pytest.mark.parametrize(
    ("enabled", "level"),
    [
        ({"multi2vec-clip": {"error": f"{modules.REFUSED} 10.0.0.1:8090"}}, "red"),
        ({"multi2vec-clip": META}, "green"),
        ({"multi2vec-clip": {"error": "EOF"}}, "yellow"),
        ({"img2vec-neural": {}}, "yellow"),
        ({"multi2vec-prism": META}, "green"),
    ],
)
def test_validate_base_url_shows_by_its_effect(enabled: Mapping[str, Any], level: str) -> None:
    ((got, _),) = found(modules.findings(enabled, META, []), "validate-base-url")
    assert got == level


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("http://prism:8090", "green"),
        ("http://u:s3cret@prism:8090/p/small", "green"),
        ("http://localhost:8090", "green"),
        ("http://prism:8090/", "yellow"),
        ("http://prism:9000", "yellow"),
        ("http://prism:none", "red"),
    ],
)
def test_an_address_is_prisms_or_not(url: str, level: str) -> None:
    ours = ["http://localhost:8090", PRISM]
    (finding,) = addresses.findings(film(clip(inferenceUrl=url)), ours)
    assert finding.level == level
    assert "s3cret" not in finding.says + finding.cure


@pytest.mark.parametrize(("url", "level"), [(f"{PRISM}/", "green"), (f"{PRISM}/p/whole/", "yellow")])
def test_a_slash_is_told_where_its_author_can_leave_it_out(url: str, level: str) -> None:
    """weaviate-client adds one to a bare host for modules of public services."""
    vector = Vector("default", "multi2vec-voyageai", {"baseURL": url})
    (finding,) = addresses.findings(film(vector), [PRISM])
    assert finding.level == level
    assert "slash" in finding.says


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("http://prism:k%40y@prism:8090", "green"),
        ("http://prism:8090", "red"),
        ("http://prism:other@prism:8090", "red"),
    ],
)
def test_an_address_has_the_key_that_prism_asks_for(url: str, level: str) -> None:
    (finding,) = addresses.findings(film(clip(inferenceUrl=url)), [PRISM], "k@y")
    assert finding.level == level
    assert "k@y" not in finding.says + finding.cure


@pytest.mark.parametrize(
    ("module", "config", "path"),
    [
        ("multi2vec-clip", {}, ""),
        ("multi2vec-clip", {"inferenceUrl": f"{PRISM}/p/small/"}, "/p/small"),
        ("multi2vec-clip", {"inferenceUrl": "http://other:8090"}, None),
        ("multi2vec-clip", {"inferenceUrl": "http://prism:none"}, None),
        ("multi2vec-voyageai", {}, None),
        ("multi2vec-voyageai", {"baseURL": f"{PRISM}/v1"}, "/v1"),
    ],
)
def test_the_prefix_of_prisms_paths_is_the_addresss(module: str, config: Mapping[str, str], path: str | None) -> None:
    assert addresses.path_here(module, config, [PRISM]) == path


# -- profiles ----------------------------------------------------------------------------------------------------------


def served(collection: Collection, prism: Mapping[str, Any] = META) -> list[Finding]:
    return list(profiles.findings(collection, lambda name, config: "", prism, [PRISM]))


@pytest.mark.parametrize(
    ("module", "config", "says"),
    [
        ("multi2vec-clip", {"inferenceUrl": f"{PRISM}/p/whole"}, "'whole', which Prism serves"),
        ("multi2vec-clip", {"inferenceUrl": f"{PRISM}//p/org/m/"}, "'org/m', which Prism serves"),
        ("multi2vec-clip", {"inferenceUrl": PRISM}, "default embedder, 'plain'"),
        ("multi2vec-clip", {"inferenceUrl": f"{PRISM}/p/nope"}, ""),
        ("multi2vec-clip", {"inferenceUrl": f"{PRISM}/p/judge"}, ""),
        ("multi2vec-bind", {"model": "nope"}, "unless BIND_INFERENCE_API names another"),  # it has no such key
        ("multi2vec-voyageai", {"baseURL": f"{PRISM}/p/whole/v1", "model": "nope"}, "'whole', which Prism serves"),
        ("multi2vec-voyageai", {"baseURL": f"{PRISM}/v1", "model": "rare"}, "'rare', which Prism serves"),
        ("multi2vec-voyageai", {"baseURL": f"{PRISM}/v1", "model": "voyage-3"}, ""),
        ("multi2vec-voyageai", {"baseURL": PRISM, "model": voyageai.DEFAULT_MODEL}, "default embedder"),
        ("multi2vec-prism", {"model": "big"}, "'big', which Prism serves"),
        ("multi2vec-prism", {"model": "nope"}, ""),
    ],
)
def test_a_vectors_profile_is_served_or_not(module: str, config: dict[str, Any], says: str) -> None:
    (finding,) = served(film(Vector("default", module, config)))
    assert finding.level == ("green" if says else "red")
    assert (says or "there are 'plain', 'whole', 'rare'") in finding.says


@pytest.mark.parametrize(
    ("module", "config", "level"),
    [
        ("reranker-transformers", {}, "green"),
        ("reranker-prism", {"model": "judge"}, "green"),
        ("reranker-prism", {"model": "whole"}, "red"),
        ("reranker-cohere", {"baseURL": PRISM, "model": cohere.DEFAULT_MODEL}, "green"),
        ("reranker-cohere", {"baseURL": PRISM, "model": "rerank-v3"}, "red"),
        ("reranker-nvidia", {"baseURL": f"{PRISM}/", "model": nvidia.DEFAULT_MODEL}, "green"),
        ("reranker-nvidia", {"baseURL": f"{PRISM}/p/plain"}, "red"),
    ],
)
def test_a_rerankers_profile_is_served_or_not(module: str, config: dict[str, Any], level: str) -> None:
    (finding,) = served(film(rerankers={module: config}))
    assert finding.level == level
    assert level == "green" or "there are 'judge'" in finding.says


def test_a_profile_of_the_other_kind_is_called_that() -> None:
    (finding,) = served(film(clip(inferenceUrl=f"{PRISM}/p/judge")))
    assert "no embedder profile 'judge' (it is a reranker)" in finding.says


def test_every_address_of_a_text_module_may_name_a_profile() -> None:
    urls = {"passageInferenceUrl": f"{PRISM}/p/plain", "queryInferenceUrl": f"{PRISM}/p/nope"}
    told = served(film(Vector("default", "text2vec-transformers", urls)))
    assert [each.level for each in told] == ["green", "red"]


def test_a_kind_that_prism_does_not_serve_is_told() -> None:
    (finding,) = served(film(rerankers={"reranker-transformers": {}}), {**META, "profiles": META["profiles"][:3]})
    assert finding.level == "red"
    assert "serves none" in finding.says


def test_what_is_not_this_prisms_has_no_profile_of_it() -> None:
    collection = film(clip(), Vector("v", "text2vec-openai", {}), rerankers={"reranker-prism": {}})
    assert not list(profiles.findings(collection, lambda name, config: None, META, [PRISM]))


@pytest.mark.parametrize(
    ("path", "weights", "levels"),
    [
        ("/p/whole", {"textFields": [3], "imageFields": [1]}, ["yellow"]),
        ("/p/whole", {"textFields": [0], "imageFields": [1]}, ["red"]),
        ("/p/whole", {}, []),
        ("", {"textFields": [0], "imageFields": [1]}, []),
    ],
)
def test_weights_of_a_joint_vector_are_told(path: str, weights: dict[str, Any], levels: list[str]) -> None:
    told = list(profiles.weighted("Film", clip(weights=weights), path, META))
    assert [each.level for each in told] == levels
    assert all("leave weights out" in each.cure for each in told)


def test_the_modules_default_models_are_those_of_the_doors() -> None:
    models = {name: module.model for name, module in MODULES.items() if module.public}
    assert models == {
        "multi2vec-voyageai": voyageai.DEFAULT_MODEL,
        "reranker-cohere": cohere.DEFAULT_MODEL,
        "reranker-nvidia": nvidia.DEFAULT_MODEL,
    }


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vector", "level", "says"),
    [
        (clip(textFields=["title", "tags"], imageFields=["picture", "photo"]), "green", "title, tags, picture, photo"),
        (clip(textFields=["title"], imageFields=["picture", "photo", "title"]), "green", "reads"),  # base64 in a text
        (clip(), "red", "names no property"),
        (clip(textFields=["Title"]), "red", 'no property "Title"'),
        (clip(textFields=["picture"]), "red", '"picture" is of type blob'),
        (clip(imageFields=["picture"], videoFields=["photo"]), "red", "videoFields"),
        (Vector("default", "multi2vec-bind", {"textFields": ["title"], "IMUFields": ["year"]}), "red", "IMUFields"),
    ],
)
def test_fields_are_seen_or_not(vector: Vector, level: str, says: str) -> None:
    (got, words), *_ = found(fields.findings(film(vector)), "fields")
    assert got == level
    assert says in words


def test_media_that_no_vector_reads_are_named_unless_a_reranker_reads_them() -> None:
    vector = clip(textFields=["title"])
    reranker = {"reranker-prism": {"imageFields": ["picture"]}}
    told = found(fields.findings(film(vector, rerankers=reranker)), "fields")
    assert told[1:] == [("yellow", "no vector is made of photo")]


@pytest.mark.parametrize(
    ("config", "skipped", "level"),
    [({}, (), "red"), ({"properties": ["title"]}, (), "green"), ({}, ("picture", "photo"), "green")],
)
def test_a_text_module_takes_media_for_text(config: dict[str, Any], skipped: tuple[str, ...], level: str) -> None:
    module = "text2vec-transformers"
    told = list(fields.findings(film(Vector("v", module, config), skipped={module: frozenset(skipped)})))
    assert [each for each, _ in found(told, "fields")] == [level]
    assert [each for each, _ in found(told, "vectorize-class-name")] == ["yellow"]


def test_fields_of_a_kind_that_the_model_does_not_read_are_red() -> None:
    vector = Vector("v", "multi2vec-bind", {"textFields": ["title"], "videoFields": ["picture"]})
    (finding,) = fields.unreadable(film(vector), vector, ["text", "image"])
    assert (finding.level, finding.about) == ("red", "Film.v")
    assert "videoFields picture" in finding.says


@pytest.mark.parametrize(
    ("reranker", "levels"),
    [
        ({}, ["yellow"]),  # PATCH
        ({"reranker-transformers": {}}, ["yellow", "yellow"]),
        ({"reranker-prism": {"imageFields": ["photo"]}}, ["red", "yellow"]),
        ({"reranker-prism": {"textFields": ["title"]}}, ["yellow", "yellow"]),
        ({"reranker-of-others": {}}, ["yellow"]),
    ],
)
def test_a_blob_hash_wants_the_media_store(reranker: dict[str, Any], levels: list[str]) -> None:
    collection = film(clip(imageFields=["photo"]), rerankers=reranker)
    assert [each.level for each in blob_hash.findings(collection, media_store=False)] == levels
    assert [each.level for each in blob_hash.findings(collection, media_store=True)] == ["green"]
    assert not list(blob_hash.findings(film(clip(), types={"title": "text"}), media_store=False))


# -- Prism -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({}, "timeouts", "green"),
        ({"request_timeout": 60.0}, "timeouts", "yellow"),
        ({}, "gpu", "yellow"),
        ({"models": [{**MODEL, "device": "cuda:0"}]}, "gpu", "green"),
        ({"models": [{**MODEL, "name": "scenes-embedder"}]}, "gpu", "green"),
        ({"models": [{**MODEL, "modalities": ["video"]}]}, "ffmpeg", "green"),
        ({"models": [{**MODEL, "modalities": ["video"]}], "clips_refused": "no FFmpeg"}, "ffmpeg", "red"),
    ],
)
def test_prism_itself(change: Mapping[str, Any], check: str, level: str) -> None:
    ((got, _),) = found(serving.findings({**META, **change}, True, 0.01), check)
    assert got == level


@pytest.mark.parametrize(
    ("ready", "seconds", "level"), [(True, 0.1, "green"), (True, 0.6, "yellow"), (False, 0.1, "red")]
)
def test_prism_is_ready_in_time(ready: bool, seconds: float, level: str) -> None:
    ((got, _),) = found(serving.findings(META, ready, seconds), "ready")
    assert got == level


def test_two_rerankers_are_one_too_many() -> None:
    collection = film(rerankers={"reranker-prism": {}, "reranker-transformers": {}})
    assert found(checks.uses(collection, lambda name, config: ""), "reranker")[-1][0] == "red"


@pytest.mark.parametrize(
    ("name", "config", "path"),
    [
        ("multi2vec-bind", {}, ""),
        ("reranker-transformers", {}, None),
        ("multi2vec-clip", {"inferenceUrl": f"{PRISM}/p/small"}, "/p/small"),
        ("img2vec-neural", {}, ""),
        ("reranker-nvidia", {}, None),
    ],
)
def test_a_module_is_served_here_by_its_address_or_by_what_it_tells(
    name: str, config: Mapping[str, Any], path: str | None
) -> None:
    enabled = {"multi2vec-bind": META, "reranker-transformers": {"error": "EOF"}, "img2vec-neural": {}}
    assert checks.served_here(name, config, enabled, META, [PRISM]) == path


def test_a_collection_of_others_is_none_of_ours() -> None:
    told = found(checks.uses(film(Vector("v", "text2vec-openai", {})), lambda name, config: None), "vectorizer")
    assert told == [("green", "by text2vec-openai: Prism has no part in it")]


# -- objects -----------------------------------------------------------------------------------------------------------


def stored(number: int, *, bare: bool = False) -> tuple[str, Stored]:
    return "", Stored(str(number), {} if bare else {"default": [1.0]})


class Weaviate(Database):
    """One that has `size` objects in each tenant, each tenth of them without a vector."""

    def __init__(self, size: int, tenants: int = 0) -> None:
        self.size, self.all = size, [f"t{number}" for number in range(tenants)]

    def tenants(self, collection: str, most: int) -> tuple[list[str], int]:
        return self.all[:most], len(self.all)

    def count(self, collection: str, tenant: str) -> int:
        return self.size

    def vectors(self, collection: str, tenant: str) -> Iterator[Stored]:
        for number in range(self.size):
            yield Stored(f"{tenant}{number}", {"default": [1.0]} if number % 10 else {})


@pytest.mark.parametrize("size", [1, 7, 9, 20, 1000])
def test_objects_to_compare_are_spread_over_all(size: int) -> None:
    looked = survey.survey(Weaviate(size), film(clip()))
    chosen = [int(each.id) for _, each in looked.seen["default"].chosen]
    assert len(chosen) == min(size - 1, survey.COMPARED)
    gaps = np.diff([0, *chosen, size])
    assert all(gap <= size / survey.COMPARED + 2 for gap in gaps)


def test_objects_without_a_vector_are_counted_and_the_first_named() -> None:
    looked = survey.survey(Weaviate(100), film(clip()))
    assert looked.seen["default"].bare == 10
    assert [uuid for _, uuid in looked.seen["default"].first] == ["0", "10", "20", "30", "40"]
    assert looked.scope() == "100 objects"


def test_a_large_collection_is_sampled_and_says_so() -> None:
    looked = survey.survey(Weaviate(10**9), film(clip()))
    assert looked.read == survey.MOST_OBJECTS
    assert looked.scope() == "the first 10000 of 1000000000 objects (in the order of UUIDs)"


def test_every_tenant_has_its_share() -> None:
    looked = survey.survey(Weaviate(10**6, tenants=200), film(clip(), multi_tenant=True))
    assert looked.read == survey.MOST_OBJECTS
    assert len({tenant for tenant, _ in looked.seen["default"].chosen}) == survey.COMPARED
    assert looked.scope().endswith("of 10 of 200 tenants")


@pytest.mark.parametrize(
    ("comparisons", "level", "says"),
    [
        ([Comparison("a", (4, 4), 0.9995), Comparison("b", (4, 4), 1.0)], "green", "2 objects vectorized again"),
        ([Comparison("a", (4, 4), 0.9989), Comparison("b", (4, 4), 1.0)], "red", "0.9989, want 0.999): a of 2 objects"),
        ([Comparison("a", (4, 4), 1.0), Comparison("b", (3, 4))], "red", "3 dimensions, the loaded model gives 4: b"),
        ([Comparison("a", refused=RefusedError("no x", model=True))], "red", "no x"),
        ([Comparison("a", refused=RefusedError("why")), Comparison("b", (4, 4), 1.0)], "yellow", "1 of 2 objects"),
        ([Comparison("a", refused=RefusedError("why")), Comparison("b", (4, 4), 0.5)], "red", "b of 1 object "),
    ],
)
def test_the_worst_comparison_decides(comparisons: list[Comparison], level: str, says: str) -> None:
    finding = vectors.verdict("Film", comparisons, "", "mend")
    assert finding.level == level
    assert says in finding.says
    assert level != "red" or "mend" in finding.cure


SAME, OTHER = [Comparison("a", (4, 4), 1.0)], [Comparison("a", (4, 4), 0.77)]


@pytest.mark.parametrize(
    ("module", "config", "answers", "path"),
    [
        ("multi2vec-bind", {}, {"": OTHER, "/p/whole": SAME}, "/p/whole"),
        ("multi2vec-clip", {}, {"": OTHER, "/p/whole": SAME}, "/p/whole"),
        ("multi2vec-bind", {}, {"": OTHER, "/p/whole": OTHER}, ""),  # and what is not loaded is not asked for
        ("multi2vec-bind", {}, {"": [Comparison("a", refused=RefusedError("no"))], "/p/whole": SAME}, "/p/whole"),
        ("multi2vec-bind", {}, {"": SAME}, ""),
        ("multi2vec-clip", {"inferenceUrl": PRISM}, {"": OTHER}, ""),
        ("multi2vec-prism", {}, {"": OTHER}, ""),
    ],
)
def test_a_profile_that_nobody_tells_is_found_by_its_vectors(
    module: str, config: dict[str, Any], answers: dict[str, list[Comparison]], path: str
) -> None:
    again = answers.__getitem__
    assert vectors.guessed(Vector("default", module, config), "", again, META) == (path, answers[path])


def test_a_cure_names_profiles() -> None:
    assert "same profile (fusion, dimensions, prompts)" in vectors.cure_of(clip(inferenceUrl=PRISM), META)
    unseen = vectors.cure_of(Vector("default", "multi2vec-bind", {}), META)
    assert "/p/NAME in BIND_INFERENCE_API" in unseen
    assert "not loaded: 'rare'" in unseen
    gone = [Comparison("a", refused=RefusedError("no x", model=True))]
    assert "serve the profile again" in vectors.verdict("Film", gone, "", "").cure
    assert "as by profile 'whole'" in vectors.verdict("Film", SAME, "whole", "").says


def test_a_cosine_is_that_of_directions() -> None:
    one = np.array([1.0, 2.0, 2.0])
    assert vectors.cosine(one, 3 * one) == pytest.approx(1.0)
    assert vectors.cosine(one, -one) == pytest.approx(-1.0)
    assert vectors.cosine(one, np.zeros(3)) == 0.0
    assert vectors.cosine(np.zeros(3), np.zeros(3)) == 1.0


# -- report and flags --------------------------------------------------------------------------------------------------

FINDINGS = [
    green(Check.READY, "Prism", "ready"),
    yellow(Check.FIELDS, "Film", "[red]odd[/red]", "look"),
    red(Check.MODEL, "Film", "bad", "mend"),
]


@pytest.mark.parametrize(
    ("terminal", "variable", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, variable: str, coloured: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", variable)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, highlight=False, markup=False)
    for each in FINDINGS:
        report.write(console, each)
    assert ("\x1b[31m" in out.getvalue()) == coloured
    assert "[red]odd[/red] [fields]" in out.getvalue()
    assert "cure: mend" in out.getvalue()


def test_a_reader_that_leaves_is_no_red_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(BrokenPipeError):
            report.write(report.Output(), FINDINGS[0])
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)  # what is still buffered


def test_json_counts_and_lists() -> None:
    answer = json.loads(report.as_json(FINDINGS))
    assert (answer["green"], answer["yellow"], answer["red"]) == (1, 1, 1)
    assert answer["findings"][2] == {"level": "red", "check": "model", "about": "Film", "says": "bad", "cure": "mend"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prism", "localhost:8090"],
        ["--weaviate", "http://h:x"],
        ["--weaviate-grpc", "localhost"],
        ["--prism-grpc", "h:x"],
    ],
)
def test_an_address_that_is_none_is_refused_with_its_flag(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert f"{arguments[0]}: must be" in capsys.readouterr().err


def test_grpc_ports_are_by_default_the_usual_ones_of_the_same_hosts() -> None:
    options = parse(["--weaviate", "https://db.example:443", "--prism", "http://[::1]:80"])
    assert (options.weaviate_grpc, options.prism_grpc) == ("db.example:50051", "[::1]:8091")


@pytest.mark.parametrize("check", Check)
def test_the_readme_explains_every_finding(check: Check) -> None:
    assert f"`{check}`" in README.partition("## prism check\n")[2].partition("\n## ")[0]
