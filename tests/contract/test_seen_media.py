"""The digest of a picture or clip is enough once the reranker has seen it, be media stored or not."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from contract.running import InProcess
from contract.samples import clip, picture
from contract.test_media_store import BLUE, RED, UNKNOWN, digest, hashed, rerank
from contract.test_rerank import scores
from contract.test_rpc_vectorize import data, item, text
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.values import LOWEST_SCORE

QUERY = item(data(picture("red")))


@pytest.fixture(scope="module")
def seeing() -> Iterator[InProcess]:
    """A service that has scored a red picture and a clip, and stores nothing."""
    with InProcess() as running:
        answer = rerank(running, QUERY, item(data(picture("red"))), item(data(clip()), text("a film")))
        assert answer.keeps_media
        assert list(answer.scores) == [1.0, 0.0]
        yield running


def test_digests_of_what_was_seen_are_scored_as_media(seeing: InProcess) -> None:
    film = item(digest(hashed(clip()), modality=pb.MODALITY_VIDEO), text("a film"))
    for query in (QUERY, item(digest(RED)), item(digest(RED, modality=pb.MODALITY_IMAGE))):
        answer = rerank(seeing, query, film, item(digest(RED, "still")), item(data(picture("red"))))
        assert not answer.errors
        assert list(answer.scores) == [0.0, 1.0, 1.0]
    assert scores(seeing.http, RED, [RED, hashed(clip())]) == [1.0, 0.0]


def test_what_was_not_seen_is_refused_among_others(seeing: InProcess) -> None:
    answer = rerank(seeing, QUERY, item(digest(BLUE, "still")), item(digest(RED)), item(digest(UNKNOWN)))
    assert list(answer.scores) == pytest.approx([LOWEST_SCORE, 1.0, LOWEST_SCORE])
    assert [(error.index, error.code) for error in answer.errors] == [
        (0, grpc.StatusCode.UNIMPLEMENTED.value[0]),
        (2, grpc.StatusCode.UNIMPLEMENTED.value[0]),
    ]
    assert answer.errors[0].message.startswith("still: digest: no media are stored here")


def test_what_was_seen_is_what_it_was(seeing: InProcess) -> None:
    answer = rerank(seeing, QUERY, item(digest(RED, modality=pb.MODALITY_VIDEO)))
    assert [error.message for error in answer.errors] == ["is a picture, and stated as a clip"]


def test_a_service_without_room_for_what_it_sees_says_so() -> None:
    with InProcess(vision_cache_bytes=0) as running:
        assert not rerank(running, QUERY, item(data(picture("red")))).keeps_media
        assert rerank(running, QUERY, item(digest(RED))).errors
