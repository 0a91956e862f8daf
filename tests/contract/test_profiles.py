"""Profiles in one service: two fake embedders and the bundled pair, asked for by name, at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from contract.running import InProcess
from contract.samples import picture
from contract.test_rerank import scores
from contract.test_rpc_vectorize import data, item, refused, request, rows, text
from contract.test_vectorize import post
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

Code = grpc.StatusCode
FILE = """
[profiles.short]
embedder = "fake"
dimensions = 8
[profiles.slow]
embedder = "fake:1,0"
fusion = "mean"
[profiles.scenes]
embedder = "scenes-embedder"
query_prompt = "Find the scene."
preload = false
[profiles.words]
reranker = "fake"
[profiles.judge]
reranker = "scenes-reranker"
preload = false
"""


def serving(folder: Path) -> InProcess:
    file = folder / "prism.toml"
    file.write_text(FILE)
    return InProcess(config=str(file), embedder="", reranker="", device="cpu")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serving(tmp_path_factory.mktemp("profiles")) as running:
        yield running


def test_models_are_loaded_when_they_are_asked_for_and_told_with_the_profiles(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        assert_told(service, pb_grpc.VectorizerStub(service.channel), pb_grpc.RerankerStub(service.channel))


def assert_told(service: InProcess, vectorizer: pb_grpc.VectorizerStub, reranker: pb_grpc.RerankerStub) -> None:
    stub = pb_grpc.ModuleStub(service.channel)
    info, meta = stub.Info(pb.InfoRequest()), service.http.get("/meta").json()
    names = ["short", "slow", "scenes", "words", "judge"]
    assert [profile.name for profile in info.profiles] == [each["name"] for each in meta["profiles"]] == names
    assert [profile.name for profile in info.profiles if profile.default] == ["short", "words"]
    assert [profile.model for profile in info.profiles if not profile.loaded] == ["scenes-embedder", "scenes-reranker"]
    assert (info.profiles[0].dimensions, meta["profiles"][2]["query_prompt"]) == (8, "Find the scene.")
    # the default's first, which Weaviate's native module takes for the default
    assert [model.name for model in info.models] == [model["name"] for model in meta["models"]] == ["fake"] * 3
    assert [model.kind for model in info.models] == ["embedder", "reranker", "embedder"]

    vectorizer.Vectorize(request(item(text("a")), targets=[pb.Target(model="scenes")]))
    query = item(text("four small purple stars"))
    documents = [item(text("a falling red line chart")), item(text("four small purple stars"))]
    answer = reranker.Rerank(pb.RerankRequest(query=query, documents=documents, model="judge"))
    assert answer.scores[1] > answer.scores[0]
    info = stub.Info(pb.InfoRequest())
    assert all(profile.loaded for profile in info.profiles)
    assert {model.name for model in info.models} == {"fake", "scenes-embedder", "scenes-reranker"}


def test_one_call_gets_vectors_of_several_models(vectorizer: pb_grpc.VectorizerStub) -> None:
    both = item(text("a red square", "title"), data(picture(), "still"))
    targets = [pb.Target(name=name, model=name) for name in ("short", "slow", "scenes", "scenes-embedder", "fake")]
    response = vectorizer.Vectorize(request(both, item(data(b"neither")), both, targets=targets))
    assert [(error.index, error.target) for error in response.errors] == [(1, each.name) for each in targets]
    short, slow, scenes, own, first = (rows(block) for block in response.blocks)
    assert [found.shape for found in (short, slow, scenes)] == [(3, 8), (3, 32), (3, scenes.shape[1])]
    assert scenes.shape[1] not in (8, 32)
    for found in (short, slow, scenes):
        np.testing.assert_allclose(np.linalg.norm(found[[0, 2]], axis=1), 1, atol=1e-5)
        assert (found[0] == found[2]).all()
    # a model's own name stands for the first profile that uses it
    assert (own == scenes).all()
    assert (first == short).all()


def test_what_names_none_gets_the_default(service: InProcess, vectorizer: pb_grpc.VectorizerStub) -> None:
    named, unnamed = vectorizer.Vectorize(
        request(item(text("a")), targets=[pb.Target(name="named", model="short"), pb.Target(name="unnamed")])
    ).blocks
    assert named.vectors == unnamed.vectors
    assert post(service.http, texts=["a"]).json()["textVectors"] == rows(named).tolist()
    assert scores(service.http, "a b", ["a", "b a", "c"]) == [0.5, 1.0, 0.0]


def test_each_model_has_its_own_thread(service: InProcess, vectorizer: pb_grpc.VectorizerStub) -> None:
    labels = {"short": "fake", "slow": "fake (slow)", "scenes": "scenes-embedder"}
    for name in labels:
        vectorizer.Vectorize(request(item(text(f"asked of {name}")), targets=[pb.Target(model=name)]))
    for label in labels.values():
        assert service.metric("prism_stage_seconds_count", stage="embedder", model=label) >= 2  # and the warm-up


def test_a_name_that_does_not_fit_is_refused_with_those_that_do(
    vectorizer: pb_grpc.VectorizerStub, reranker: pb_grpc.RerankerStub
) -> None:
    def vectorize(model: str) -> object:
        return vectorizer.Vectorize(request(item(text("a")), targets=[pb.Target(model=model)]))

    def rerank(model: str) -> object:
        return reranker.Rerank(pb.RerankRequest(query=item(text("q")), documents=[item(text("a"))], model=model))

    unknown = "model 'other' is not known; known are"
    assert f"{unknown} 'short', 'slow', 'scenes'" in refused(lambda: vectorize("other"), Code.NOT_FOUND)
    assert f"{unknown} 'words', 'judge'" in refused(lambda: rerank("other"), Code.NOT_FOUND)
    assert "'judge' is no embedder" in refused(lambda: vectorize("judge"), Code.INVALID_ARGUMENT)
    assert "'scenes' is no reranker" in refused(lambda: rerank("scenes"), Code.INVALID_ARGUMENT)
