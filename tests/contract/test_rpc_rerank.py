"""prism.v1.Reranker"""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from contract.running import InProcess
from contract.samples import b64, clip, picture
from contract.test_rerank import scores
from contract.test_rpc_vectorize import data, item, refused, text
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

Code = grpc.StatusCode
QUERY = item(text("q"))


def test_scores_come_back_in_request_order(service: InProcess, reranker: pb_grpc.RerankerStub) -> None:
    documents = [item(text("a")), item(data(picture())), item(data(clip())), item(text("")), item(text("a"))]
    response = reranker.Rerank(pb.RerankRequest(query=QUERY, documents=documents))
    assert not response.errors
    assert response.scores[0] == response.scores[4]
    stock = scores(service.http, "q", ["a", b64(picture()), b64(clip()), "", "a"])
    np.testing.assert_allclose(response.scores, stock, rtol=1e-6)


def test_a_query_may_be_a_picture(reranker: pb_grpc.RerankerStub) -> None:
    response = reranker.Rerank(pb.RerankRequest(query=item(data(picture())), documents=[item(text("a"))]))
    assert len(response.scores) == 1


def test_a_bad_document_never_fails_its_neighbours(reranker: pb_grpc.RerankerStub) -> None:
    documents = [item(text("a")), item(data(b"neither")), item(), item(pb.Part(digest="ab" * 32)), item(text("b"))]
    response = reranker.Rerank(pb.RerankRequest(query=QUERY, documents=documents))
    assert [error.index for error in response.errors] == [1, 2, 3]
    assert response.errors[2].code == Code.UNIMPLEMENTED.value[0]
    assert len(response.scores) == 5
    assert set(response.scores[1:4]) == {float(np.finfo(np.float32).min)}
    assert min(response.scores[0], response.scores[4]) > -100


def test_a_bad_document_can_be_ranked_last_instead() -> None:
    with InProcess(rerank_bad_document="last") as running:
        documents = [item(text("a")), item(data(b"neither")), item(data(picture()[:40]))]
        stub = pb_grpc.RerankerStub(running.channel)
        response = stub.Rerank(pb.RerankRequest(query=QUERY, documents=documents))
        assert not response.errors
        assert max(response.scores[1:]) < response.scores[0]


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"documents": []}, Code.INVALID_ARGUMENT, "documents"),
        ({"query": pb.Item()}, Code.INVALID_ARGUMENT, "query"),
        ({"query": item(data(b"neither"))}, Code.INVALID_ARGUMENT, "query: parts[0]"),
        ({"query": item(pb.Part(digest="ab" * 32))}, Code.UNIMPLEMENTED, "query: digest"),
        ({"query": item(pb.Part(digest="AB" * 32))}, Code.INVALID_ARGUMENT, "query: parts[0]: digest"),
        ({"query": item(data(picture()[:40]))}, Code.INVALID_ARGUMENT, "query"),
        ({"model": "other"}, Code.NOT_FOUND, "other"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    reranker: pb_grpc.RerankerStub, changes: dict[str, Any], code: grpc.StatusCode, named: str
) -> None:
    fields: dict[str, Any] = {"query": QUERY, "documents": [item(text("a"))], **changes}
    assert named in refused(lambda: reranker.Rerank(pb.RerankRequest(**fields)), code)
