"""The Python clients against a real service: what the verbs give, and how inputs fail."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from contract.clients import OPENERS, Open
from contract.running import InProcess, recorded
from contract.samples import clip, picture
from contract.test_rpc_vectorize import data, item, request, rows, text
from weaviate_prism import catalog
from weaviate_prism.client import Input, ItemsFailed, PrismClient, Ranked
from weaviate_prism.client.encoding import Encoding
from weaviate_prism.errors import Internal, InvalidInput, NotFound, Overloaded, TooLarge, Unsupported
from weaviate_prism.models.fake import FAIL, NAN
from weaviate_prism.models.registry import load_model
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc
from weaviate_prism.values import LOWEST_SCORE, Fusion, Priority, Target, Task


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Open:
    return OPENERS[request.param]


@pytest.fixture
def prism(opened: Open, service: InProcess) -> Iterator[Any]:
    with opened(service.grpc_address) as client:
        yield client


def test_a_list_gets_rows_in_its_order_and_one_input_gets_a_vector(
    prism: Any, vectorizer: pb_grpc.VectorizerStub
) -> None:
    vectors = prism.encode_document(["a", picture(), "b"])
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, 32))
    block = vectorizer.Vectorize(request(item(text("a")), item(data(picture())), item(text("b")))).blocks[0]
    np.testing.assert_array_equal(vectors, rows(block))
    one = prism.encode_query("b")
    assert (one.dtype, one.shape) == (np.float32, (32,))
    np.testing.assert_array_equal(one, vectors[2])
    np.testing.assert_array_equal(prism.encode_query([("b",)]), vectors[2:])
    assert prism.encode_document([]).shape == (0, 0)


def test_a_picture_is_the_same_in_every_form(prism: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
    image, png, jpeg = Image.fromarray(pixels), io.BytesIO(), io.BytesIO()
    image.save(png, "PNG")
    image.save(jpeg, "JPEG")
    (tmp_path / "a.png").write_bytes(png.getvalue())
    (tmp_path / "wrong.txt").write_bytes(jpeg.getvalue())
    by_form = prism.encode_document([png.getvalue(), tmp_path / "a.png", image, pixels, pixels[::-1][::-1]])
    np.testing.assert_array_equal(by_form, by_form[[0] * 5])
    files = prism.encode_document([tmp_path / "wrong.txt", jpeg.getvalue(), Image.open(jpeg)])
    np.testing.assert_array_equal(files, files[[0] * 3])
    assert not (files[0] == by_form[0]).all()


@pytest.mark.parametrize("mode", ["CMYK", "F", "I;16", "L", "LA", "P", "RGBA", "YCbCr"])
def test_pictures_of_every_mode_are_read(prism: Any, mode: str) -> None:
    assert prism.encode_query(Image.new(mode, (8, 8))).any()


def test_a_turned_picture_is_the_same_as_its_file(prism: Any, tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(9 * 7 * 3, dtype=np.uint8).reshape(9, 7, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        first, second, plain = prism.encode_document([tmp_path / "turned.png", turned, image])
    np.testing.assert_array_equal(first, second)
    assert not (first == plain).all()


def test_clips_are_sent_as_they_are(prism: Any) -> None:
    file = Path(__file__).with_name("clip.mp4")
    vectors = prism.encode_document([clip(), file, {"video": file}])
    np.testing.assert_array_equal(vectors, vectors[[0] * 3])


def test_several_parts_are_one_input(prism: Any) -> None:
    parts = ("a red star", picture())
    vectors = prism.encode_document([parts, list(parts), {"text": parts[0], "image": parts[1]}, *parts])
    np.testing.assert_array_equal(vectors[:3], vectors[[0] * 3])
    assert not (vectors[0] == vectors[3]).all()
    np.testing.assert_array_equal(prism.encode_document({"text": parts[0], "image": parts[1]}), vectors[0])


def test_a_bare_tuple_is_refused_as_one_input_or_several(prism: Any) -> None:
    for verb in (prism.encode_query, prism.encode_document):
        for bare in (("a",), ("a", picture()), ()):
            with pytest.raises(TypeError, match="wrap it in a list for one input of several parts, or give a list for"):
                verb(bare)
    for pairs in ((("a", "b"), ("c", "d")), (("a", picture()), "b"), ()):
        with pytest.raises(TypeError, match="wrap it in a list for one"):
            prism.predict(pairs)
    assert prism.predict(("a", ("a", picture()))) == 1
    assert prism.predict([(("a", picture()), "a")]).shape == (1,)


def test_options_reach_the_engine(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess() as running, opened(running.grpc_address) as prism:
        encoded, scored = recorded(running, monkeypatch, "vectorize"), recorded(running, monkeypatch, "rerank")
        prism.encode_query("a", prompt="Find it.", dimensions=8, model="fake", fusion="mean")
        prism.encode_document("a")
        prism.rank("a", ["b"], prompt="Judge it.", model="fake")
        prism.predict(("a", "b"))
    assert [(call["task"], call["priority"]) for call in encoded] == [
        (Task.QUERY, Priority.QUERY),
        (Task.DOCUMENT, Priority.BULK),
    ]
    asked = Target(instruction="Find it.", dimensions=8, model="fake", fusion=Fusion.MEAN)
    assert [call["targets"] for call in encoded] == [[asked], [Target()]]
    assert [(call["instruction"], call["model"]) for call in scored] == [("Judge it.", "fake"), ("", "")]


def test_scores_come_in_the_order_of_the_pairs(prism: Any) -> None:
    pairs = [("a b", "a"), ("c", "c"), ("a b", "b a"), ("c", "d"), ["a b", ("a", "b")], ((picture(), "a"), picture())]
    scores = prism.predict(pairs)
    assert scores.dtype == np.float32
    assert scores.tolist() == [0.5, 1, 1, 0, 1, 0.5]
    assert prism.predict(("a b", "a")) == 0.5
    assert np.ndim(prism.predict(("a b", "a"))) == 0
    assert prism.predict([]).shape == (0,)


def test_a_ranking_has_the_best_first_and_equal_ones_in_order(prism: Any) -> None:
    documents = ["c", "a", "b a", ("a", picture()), "a b"]
    everything = prism.rank("a b", documents)
    assert [(each["corpus_id"], each["score"]) for each in everything] == [(2, 1), (4, 1), (1, 0.5), (3, 0.5), (0, 0)]
    assert prism.rank("a b", documents, top_k=2) == everything[:2]
    assert prism.rank("a b", documents, top_k=1, return_documents=True) == [{**everything[0], "text": "b a"}]
    assert prism.rank("a b", []) == []


def test_the_service_tells_its_models_and_limits(prism: Any) -> None:
    info = prism.info()
    assert info.ready
    assert info.limits["max_items"] == 50
    assert {model.kind for model in info.models} == {"embedder", "reranker"}
    assert [profile.model for profile in info.profiles if profile.default] == ["fake", "fake"]
    for model in info.models:
        assert model.modalities == ("text", "image", "video", "message")
        assert model.supports("image")
        assert model.supports(("image", "text"))
        assert not model.supports("audio")
        assert not model.supports(("image", "audio"))


def test_the_service_tells_how_its_models_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*args: Any) -> Any:
        model = load_model(*args)
        model.info = replace(model.info, tier=f"{model.info.kind}'s own", dtype_note="no bfloat16 here")
        return model

    monkeypatch.setattr(catalog, "load_model", load)
    with InProcess() as running, PrismClient(running.grpc_address) as client:
        models = {model.kind: model for model in client.info().models}
    assert {kind: model.tier for kind, model in models.items()} == {kind: f"{kind}'s own" for kind in models}
    assert [model.dtype_note for model in models.values()] == ["no bfloat16 here"] * 2


def test_failed_inputs_are_all_named_beside_the_results_of_the_others(prism: Any, tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    inputs = ["a", 3, missing, b"no picture", ("a", picture()[:40]), NAN, "x" * 10_001, picture(), "b"]
    with pytest.raises(ItemsFailed) as raised:
        prism.encode_document(inputs)
    failed = raised.value
    assert list(failed.errors) == [1, 2, 3, 4, 5, 6]
    assert all(f"[{position}] " in str(failed) for position in (1, 2, 3, 4, 5))
    assert str(failed).startswith("6 of 9 inputs failed: ")
    assert str(failed).endswith("; and 1 more")
    assert "type int" in str(failed.errors[1])
    assert str(missing) in str(failed.errors[2])
    assert "known format" in str(failed.errors[3])
    assert "parts[1]" in str(failed.errors[4])
    assert "max_text_bytes" in str(failed.errors[6])
    assert np.isnan(failed.results[1:7]).all()
    np.testing.assert_array_equal(failed.results[[0, 7, 8]], prism.encode_document(["a", picture(), "b"]))


def test_a_broken_file_is_named_as_the_caller_did(prism: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    broken = Path("broken.png")
    broken.write_bytes(picture()[:40])
    with pytest.raises(ItemsFailed) as raised:
        prism.encode_document(["a", broken, (picture(), broken), {"text": "a", "image": broken}, ("a", picture()[:40])])
    *files, unnamed = (error.message for error in raised.value.errors.values())
    assert [message.split(": ")[0] for message in files] == ["broken.png"] * 3
    assert not any("parts" in message for message in files)
    assert unnamed.startswith("parts[1]: ")
    with pytest.raises(InvalidInput, match=r"^broken\.png: "):
        prism.encode_query(broken)
    for ask in (prism.rank, lambda query, documents: prism.predict((query, documents[0]))):
        with pytest.raises(InvalidInput, match=r"^query: broken\.png: "):
            ask(broken, ["a"])
    with pytest.raises(ItemsFailed, match=r"\[1\] broken\.png: "):
        prism.rank("a", ["b", broken])


def test_one_input_fails_by_its_own_error(prism: Any) -> None:
    with pytest.raises(InvalidInput, match="known format"):
        prism.encode_query(b"no picture")
    with pytest.raises(InvalidInput, match="known format"):
        prism.predict(("a", b"no picture"))
    with pytest.raises(InvalidInput, match=r"^query: "):
        prism.predict((b"no picture", "a"))


def test_a_list_of_failed_inputs_only_is_told_by_position(prism: Any) -> None:
    with pytest.raises(ItemsFailed) as raised:
        prism.encode_document([3])
    assert list(raised.value.errors) == [0]
    assert raised.value.results.shape == (1, 0)


def test_documents_that_cannot_be_scored_are_named(prism: Any) -> None:
    with pytest.raises(ItemsFailed) as raised:
        prism.rank("a", ["b", b"no picture", "a", FAIL])
    assert list(raised.value.errors) == [1, 3]
    np.testing.assert_array_equal(raised.value.results, np.array([0, np.nan, 1, np.nan], np.float32))


def test_a_wrong_query_fails_its_own_pairs_only(prism: Any, tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    with pytest.raises(ItemsFailed) as raised:
        prism.predict([("a", "a"), ("", "a"), (b"no picture", "b"), "a", ("a", "b"), (missing, "a"), ("a", missing)])
    errors = raised.value.errors
    assert list(errors) == [1, 2, 3, 5, 6]
    assert all(errors[position].message.startswith("query: ") for position in (1, 2, 5))
    assert "pair" in errors[3].message
    np.testing.assert_array_equal(raised.value.results[[0, 4]], [1, 0])


def test_a_wrong_query_of_a_ranking_is_its_error(prism: Any) -> None:
    for query in ("", b"no picture", 3):
        with pytest.raises(InvalidInput, match=r"^query: "):
            prism.rank(query, ["a", "b"])


def test_documents_ranked_last_by_the_service_are_last(opened: Open) -> None:
    with InProcess(rerank_bad_document="last") as running, opened(running.grpc_address) as prism:
        assert prism.rank("a", [b"no picture", "b"])[1] == {"corpus_id": 0, "score": LOWEST_SCORE}


@pytest.mark.parametrize("verb", ["encode_query", "encode_document"])
def test_what_is_wrong_with_the_whole_request_is_raised_itself(prism: Any, verb: str) -> None:
    with pytest.raises(NotFound, match="other"):
        getattr(prism, verb)(["a", "b"], model="other")
    with pytest.raises(InvalidInput, match="dimensions"):
        getattr(prism, verb)(["a", "b"], dimensions=33)
    with pytest.raises(ValueError, match="prompt"):
        getattr(prism, verb)("a", prompt="")
    with pytest.raises(ValueError, match="fusion"):
        getattr(prism, verb)("a", fusion="sum")


def test_a_service_without_a_reranker_says_so(opened: Open) -> None:
    with (
        InProcess(reranker="none") as running,
        opened(running.grpc_address) as prism,
        pytest.raises((NotFound, Unsupported), match="reranker"),
    ):
        prism.rank("a", ["b"])


def calls(running: InProcess, method: str) -> float:
    return running.metric("prism_requests_total", door=f"grpc {method}", outcome="ok")


def test_many_inputs_are_sent_in_parts_that_the_service_takes(prism: Any, service: InProcess) -> None:
    """At most 50 parts, or 1 MB."""
    before = calls(service, "Vectorize")
    texts = [f"text {number}" for number in range(120)]
    many = prism.encode_document(texts)
    assert calls(service, "Vectorize") == before + 3
    for position in (0, 49, 50, 119):
        np.testing.assert_array_equal(many[position], prism.encode_document(texts[position]))
    before = calls(service, "Vectorize")
    prism.encode_document([(f"{number}", "b", "c") for number in range(20)])
    assert calls(service, "Vectorize") == before + 2
    pixels = np.random.default_rng(1).integers(0, 256, (15, 170, 170, 3), np.uint8)
    before = calls(service, "Vectorize")
    assert prism.encode_document(list(pixels)).shape == (15, 32)
    assert calls(service, "Vectorize") == before + 2


def test_many_documents_are_scored_in_parts_that_the_service_takes(prism: Any, service: InProcess) -> None:
    before = calls(service, "Rerank")
    documents = [f"a {number}" for number in range(120)]
    ranking = prism.rank(("a 77", picture()), documents)
    assert ranking[0]["corpus_id"] == 77
    assert sorted(each["corpus_id"] for each in ranking) == list(range(120))
    assert calls(service, "Rerank") == before + 3


def test_an_input_that_no_request_can_hold_fails_alone(prism: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(1_000_000))
    with pytest.raises(ItemsFailed) as raised:
        prism.encode_document(["a", large, "b"])
    assert list(raised.value.errors) == [1]
    assert isinstance(raised.value.errors[1], TooLarge)
    assert "max_request_bytes" in str(raised.value)
    assert str(raised.value.errors[1]).startswith(f"{large}: ")


def test_a_full_queue_is_waited_for(opened: Open) -> None:
    """30 places, and 90 inputs at once."""
    with InProcess(embedder="fake:0,1", max_queue=30) as running, opened(running.grpc_address) as prism:
        assert prism.encode_document([f"{number}" for number in range(90)]).shape == (90, 32)
        assert running.metric("prism_requests_total", door="grpc Vectorize", outcome="overloaded") > 0


def test_items_that_the_service_could_not_take_are_asked_for_again(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with InProcess() as running, opened(running.grpc_address) as prism:
        sizes: list[int] = []
        original = running.service.engine.vectorize

        async def busy_at_first(items: Any, **kwargs: Any) -> Any:
            sizes.append(len(items))
            (results,) = await original(items, **kwargs)
            return [[Overloaded("later") if len(sizes) == 1 and i % 2 else each for i, each in enumerate(results)]]

        monkeypatch.setattr(running.service.engine, "vectorize", busy_at_first)
        vectors = prism.encode_document(["a", "b", "c", "d"])
        monkeypatch.undo()
        np.testing.assert_array_equal(vectors, prism.encode_document(["a", "b", "c", "d"]))
    assert sizes == [4, 2]


@pytest.mark.parametrize(
    "answer",
    [
        pb.VectorizeResponse(),
        pb.VectorizeResponse(blocks=[pb.Block(dimensions=2, vectors=bytes(8))]),
        pb.VectorizeResponse(blocks=[pb.Block(dimensions=2, vectors=b"a" * 12)]),
        pb.VectorizeResponse(blocks=[pb.Block(dimensions=2, vectors=b"a" * 8 + bytes(8))]),
        pb.VectorizeResponse(blocks=[pb.Block(dimensions=2, vectors=b"a" * 16)], errors=[pb.ItemError(index=2)]),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error(
    answer: pb.VectorizeResponse,
) -> None:
    work = Encoding(["a", "b"], pb.TASK_QUERY, prompt=None, dimensions=None, model=None, fusion=None)
    chunk = next(work.chunks({"max_request_bytes": 10**6, "max_queue_bytes": 10**6, "max_items": 9, "max_queue": 9}))
    with pytest.raises(Internal):
        work.record(chunk, answer)
    work.refuse(chunk, Internal("the answer"))
    with pytest.raises(Internal):
        work.outcome()


def test_the_types_are_those_that_are_declared(service: InProcess, tmp_path: Path) -> None:
    """mypy reads the same lines."""
    file = tmp_path / "a.png"
    file.write_bytes(picture())
    mixed: list[Input] = ["a", file, Image.new("RGB", (8, 8)), ("a", file), {"text": "a", "image": file}]
    with PrismClient(service.grpc_address) as prism:
        vectors = assert_type(prism.encode_document(mixed), npt.NDArray[np.float32])
        vector = assert_type(prism.encode_query({"text": "a", "image": file}), npt.NDArray[np.float32])
        score = assert_type(prism.predict(("a", file)), np.float32)
        texts = [("a", "b"), ("a", "c")]
        assert_type(prism.predict(texts), npt.NDArray[np.float32])
        assert_type(prism.encode_document([document for _, document in texts]), npt.NDArray[np.float32])
        scores = assert_type(prism.predict([("a", file), ("a", "b")]), npt.NDArray[np.float32])
        (best,) = assert_type(prism.rank("a", mixed, top_k=1), list[Ranked])
    assert isinstance(score, np.float32)
    assert [each.dtype for each in (vectors, vector, scores)] == [np.float32] * 3
    assert best.keys() == {"corpus_id", "score"}
