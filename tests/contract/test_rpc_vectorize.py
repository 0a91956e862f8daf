"""prism.v1.Vectorizer"""

from __future__ import annotations

import time
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from contract.running import InProcess, held_up, recorded, until
from contract.samples import b64, clip, picture
from contract.test_vectorize import post
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc
from weaviate_prism.values import Priority, Task

Code = grpc.StatusCode


def text(value: str, field: str = "") -> pb.Part:
    return pb.Part(text=value, field=field)


def data(value: bytes, field: str = "", modality: Any = pb.MODALITY_UNSPECIFIED) -> pb.Part:
    return pb.Part(data=value, field=field, modality=modality)


def item(*parts: pb.Part) -> pb.Item:
    return pb.Item(parts=parts)


def request(*items: pb.Item, targets: Any = (), task: Any = pb.TASK_DOCUMENT) -> pb.VectorizeRequest:
    return pb.VectorizeRequest(task=task, items=items, targets=targets)


def mean(**fields: Any) -> pb.Target:
    return pb.Target(fusion=pb.FUSION_MEAN, **fields)


def rows(block: pb.Block) -> npt.NDArray[np.float32]:
    return np.frombuffer(block.vectors, "<f4").reshape(-1, block.dimensions)


def refused(call: Any, code: grpc.StatusCode) -> str:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert raised.value.code() is code
    return str(raised.value.details())


def test_one_block_of_unit_rows_in_request_order(vectorizer: pb_grpc.VectorizerStub) -> None:
    response = vectorizer.Vectorize(
        request(item(text("a")), item(data(picture())), item(data(clip())), item(text("a")))
    )
    assert not response.errors
    (block,) = response.blocks
    assert block.target == ""
    vectors = rows(block)
    assert len(vectors) == 4
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors[0] == vectors[3]).all()


def test_both_doors_give_the_same_vector(service: InProcess, vectorizer: pb_grpc.VectorizerStub) -> None:
    block = vectorizer.Vectorize(request(item(text("a")), item(data(picture())))).blocks[0]
    stock = post(service.http, texts=["a"], images=[b64(picture())]).json()
    assert rows(block).tolist() == [stock["textVectors"][0], stock["imageVectors"][0]]


def test_the_task_and_the_instruction_reach_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess() as running:
        calls = recorded(running, monkeypatch, "vectorize")
        stub = pb_grpc.VectorizerStub(running.channel)
        stub.Vectorize(request(item(text("a")), task=pb.TASK_QUERY))
        stub.Vectorize(request(item(text("a")), targets=[pb.Target(instruction="Find shapes.")]))
    assert [(call["task"], call["priority"]) for call in calls] == [
        (Task.QUERY, Priority.QUERY),
        (Task.DOCUMENT, Priority.BULK),
    ]
    assert calls[1]["targets"][0].instruction == "Find shapes."


def test_the_deadline_is_the_callers_or_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess(request_timeout=7.0) as running:
        calls = recorded(running, monkeypatch, "vectorize")
        stub = pb_grpc.VectorizerStub(running.channel)
        began = time.monotonic()
        stub.Vectorize(request(item(text("a"))))
        stub.Vectorize(request(item(text("a"))), timeout=100)
        took = time.monotonic() - began
    allowed = [call["deadline"] - began for call in calls]
    assert 7 <= allowed[0] <= 7 + took
    assert 99 <= allowed[1] <= 102 + took  # gRPC sends whole seconds, rounded up


def test_each_target_reads_its_own_fields(vectorizer: pb_grpc.VectorizerStub) -> None:
    both = item(text("a", "title"), data(picture(), "still"))
    targets = [
        pb.Target(name="words", fields=["title"]),
        pb.Target(name="looks", fields=["still"], dimensions=4),
        pb.Target(name="all", fusion=pb.FUSION_JOINT),
    ]
    response = vectorizer.Vectorize(request(both, targets=targets))
    assert [block.target for block in response.blocks] == ["words", "looks", "all"]
    alone = vectorizer.Vectorize(request(item(text("a")))).blocks[0]
    assert response.blocks[0].vectors == alone.vectors
    assert response.blocks[1].dimensions == 4
    assert len(response.blocks[1].vectors) == 16
    np.testing.assert_allclose(np.linalg.norm(rows(response.blocks[1])), 1, atol=1e-5)
    assert response.blocks[2].vectors not in (alone.vectors, response.blocks[1].vectors)


def test_a_bad_item_never_fails_its_neighbours(vectorizer: pb_grpc.VectorizerStub) -> None:
    items = [
        item(text("a")),
        item(data(b"neither")),
        item(),
        item(pb.Part(digest="ab" * 32)),
        item(data(picture()[:40])),
        item(text("x" * 20_000)),
        item(pb.Part(field="empty")),
        item(data(picture(), modality=pb.MODALITY_VIDEO)),
        item(data(picture(), modality=9)),
        item(data(picture())),
    ]
    response = vectorizer.Vectorize(request(*items))
    bad = {error.index: error for error in response.errors}
    assert sorted(bad) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert bad[3].code == Code.UNIMPLEMENTED.value[0]
    assert "digest" in bad[3].message
    assert {bad[index].code for index in bad if index != 3} == {Code.INVALID_ARGUMENT.value[0]}
    assert "10000" in bad[5].message.replace(",", "")
    assert "is a picture, and stated as a clip" in bad[7].message
    assert "9" in bad[8].message
    vectors = rows(response.blocks[0])
    assert len(vectors) == 10
    assert not vectors[1:9].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[[0, 9]], axis=1), 1, atol=1e-5)


def test_an_item_without_a_field_of_the_target_fails_for_that_target_only(vectorizer: pb_grpc.VectorizerStub) -> None:
    targets = [pb.Target(name="words", fields=["title"]), pb.Target(name="looks", fields=["still"])]
    response = vectorizer.Vectorize(request(item(text("a", "title")), targets=targets))
    (error,) = response.errors
    assert (error.index, error.target, error.code) == (0, "looks", Code.INVALID_ARGUMENT.value[0])
    assert rows(response.blocks[0]).any()


def test_a_mean_is_the_weighted_average_of_its_parts(vectorizer: pb_grpc.VectorizerStub) -> None:
    both = item(text("a", "title"), data(picture(), "still"))
    alone = vectorizer.Vectorize(request(item(text("a")), item(data(picture()))))
    title, still = rows(alone.blocks[0])
    weighted = mean(name="weighted", fields=["still", "title"], weights=[1, 3])
    response = vectorizer.Vectorize(request(both, item(text("a", "title")), targets=[mean(name="same"), weighted]))
    assert not response.errors
    for block, expected in zip(response.blocks, (title + still, 3 * title + still), strict=True):
        mixed, single = rows(block)
        np.testing.assert_allclose(mixed, expected / np.linalg.norm(expected), atol=1e-6)
        assert (single == title).all()  # the field that it lacks drops out


def test_a_target_reads_its_items_only(vectorizer: pb_grpc.VectorizerStub) -> None:
    items = [
        item(text("a", "title")),
        item(text("b", "body")),
        item(data(b"neither", "title")),
        item(text("c", "title")),
    ]
    targets = [
        pb.Target(name="some", fields=["title"], items=[0, 2, 3]),
        pb.Target(name="last", items=[3]),
        pb.Target(name="all"),
    ]
    response = vectorizer.Vectorize(request(*items, targets=targets))
    assert [(error.target, error.index) for error in response.errors] == [("some", 2), ("all", 2)]
    some, last, everything = (rows(block).any(axis=1).tolist() for block in response.blocks)
    assert some == [True, False, False, True]
    assert last == [False, False, False, True]
    assert everything == [True, True, False, True]


def test_an_answer_has_at_most_max_items_rows_whatever_its_targets_read(vectorizer: pb_grpc.VectorizerStub) -> None:
    """2,000 targets of one item each, of 2,000 items, were a request of 33 kB with an answer of 512 MB."""
    items = [item(text(str(number))) for number in range(7)]
    targets = [pb.Target(name=str(number), items=[number]) for number in range(7)]  # 49 rows; the limit is 50
    assert len(vectorizer.Vectorize(request(*items, targets=targets)).blocks) == 7
    disjoint = [*targets, pb.Target(name="one more", items=[0])]
    named = refused(lambda: vectorizer.Vectorize(request(*items, targets=disjoint)), Code.INVALID_ARGUMENT)
    assert "56 items (7 for 8 targets)" in named
    assert "50 (max_items)" in named


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"items": []}, Code.INVALID_ARGUMENT, "items"),
        ({"task": pb.TASK_UNSPECIFIED}, Code.INVALID_ARGUMENT, "task"),
        ({"task": 7}, Code.INVALID_ARGUMENT, "task"),
        ({"targets": [pb.Target(fields=["a"], weights=[1])]}, Code.INVALID_ARGUMENT, "targets[0]: weights"),
        ({"targets": [pb.Target(), mean(name="b", weights=[-1])]}, Code.INVALID_ARGUMENT, "targets[1]: weights"),
        ({"targets": [pb.Target(fields=["a", "a"])]}, Code.INVALID_ARGUMENT, "targets[0]: fields: 'a'"),
        ({"targets": [pb.Target(items=[1])]}, Code.INVALID_ARGUMENT, "targets[0]: items"),
        ({"targets": [pb.Target(items=[0, 0])]}, Code.INVALID_ARGUMENT, "targets[0]: items"),
        ({"targets": [pb.Target(fusion=9)]}, Code.INVALID_ARGUMENT, "fusion"),  # type: ignore[arg-type]
        ({"targets": [pb.Target(model="other")]}, Code.NOT_FOUND, "other"),
        ({"targets": [pb.Target(dimensions=100_000)]}, Code.INVALID_ARGUMENT, "dimensions"),
        ({"targets": [pb.Target(name="a"), pb.Target(name="a")]}, Code.INVALID_ARGUMENT, "targets[1]"),
        ({"items": [item(text("a"))] * 51}, Code.INVALID_ARGUMENT, "50"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    vectorizer: pb_grpc.VectorizerStub, changes: dict[str, Any], code: grpc.StatusCode, named: str
) -> None:
    fields: dict[str, Any] = {"task": pb.TASK_DOCUMENT, "items": [item(text("a"))], **changes}
    assert named in refused(lambda: vectorizer.Vectorize(pb.VectorizeRequest(**fields)), code)


def test_a_long_name_does_not_break_the_status(vectorizer: pb_grpc.VectorizerStub) -> None:
    refused(
        lambda: vectorizer.Vectorize(request(item(text("a")), targets=[pb.Target(model="\N{SNOWMAN}" * 100_000)])),
        Code.NOT_FOUND,
    )


def test_concurrent_calls_share_device_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """BatchStream sends ten objects at a time; the model shall not see them so."""
    with InProcess() as running:
        queued, batches = held_up(monkeypatch)
        stub = pb_grpc.VectorizerStub(running.channel)
        calls = [
            stub.Vectorize.future(request(*(item(text(f"{call} {number}")) for number in range(10))))
            for call in range(10)
        ]
        until(lambda: sum(batches[:1]) + running.metric("prism_queue_depth", stage="embedder", model="fake") == 100)
        queued.set()
        assert not any(call.result().errors for call in calls)
    assert sum(batches) == 100
    assert max(batches) >= 50


@pytest.mark.parametrize("part", [data(b"neither", "still"), pb.Part(digest="ab" * 32, field="still")])
def test_a_part_that_cannot_be_read_fails_only_the_targets_that_read_it(
    vectorizer: pb_grpc.VectorizerStub, part: pb.Part
) -> None:
    targets = [pb.Target(name="words", fields=["title"]), pb.Target(name="looks", fields=["still"]), pb.Target()]
    response = vectorizer.Vectorize(request(item(text("a", "title"), part), targets=targets))
    assert [error.target for error in response.errors] == ["looks", ""]
    assert all(error.message.startswith("still: ") for error in response.errors)
    alone = vectorizer.Vectorize(request(item(text("a")))).blocks[0]
    assert response.blocks[0].vectors == alone.vectors
