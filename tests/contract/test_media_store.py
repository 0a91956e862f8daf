"""Media of objects come back by the digest that Weaviate has of a blobHash, at every door, or it is said why not."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from contract.running import InProcess, Subprocess, until
from contract.samples import b64, clip, picture
from contract.test_rerank import post as post_rerank
from contract.test_rerank import scores
from contract.test_rpc_vectorize import data, item, refused, request, rows, text
from contract.test_vectorize import post
from contract.test_vectorize import refused as refused_http
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc
from weaviate_prism.values import LOWEST_SCORE

Code = grpc.StatusCode


def hashed(media: bytes) -> str:
    """As Weaviate does it."""
    return hashlib.sha256(b64(media).encode()).hexdigest()


RED, BLUE = hashed(picture("red")), hashed(picture("blue"))
UNKNOWN = "ab" * 32


def digest(value: str, field: str = "", modality: Any = pb.MODALITY_UNSPECIFIED) -> pb.Part:
    return pb.Part(digest=value, field=field, modality=modality)


def items(running: InProcess) -> float:
    return running.metric("prism_media_store_items")


def fill(running: InProcess) -> None:
    """A red picture and a clip, one by each door."""
    assert post(running.http, images=[b64(picture("red"))]).status_code == 200
    assert not vectorize(running, item(data(clip()))).errors
    until(lambda: items(running) == 2)


def vectorize(running: InProcess, *wanted: pb.Item, **fields: Any) -> pb.VectorizeResponse:
    response: pb.VectorizeResponse = pb_grpc.VectorizerStub(running.channel).Vectorize(request(*wanted, **fields))
    return response


def rerank(running: InProcess, query: pb.Item, *documents: pb.Item) -> pb.RerankResponse:
    stub = pb_grpc.RerankerStub(running.channel)
    response: pb.RerankResponse = stub.Rerank(pb.RerankRequest(query=query, documents=documents))
    return response


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A service that has stored a red picture and a clip, and was restarted since."""
    folder = str(tmp_path_factory.mktemp("kept"))
    with InProcess(media_store=folder) as running:
        fill(running)
    with InProcess(media_store=folder, vision_cache_bytes=0) as running:
        yield running


def test_a_digest_is_scored_as_its_media(kept: InProcess) -> None:
    assert scores(kept.http, b64(picture("red")), [RED, hashed(clip()), BLUE, ""]) == [1.0, 0.0, 0.0, 0.0]
    assert scores(kept.http, RED, [b64(picture("red")), RED, b64(clip())]) == [1.0, 1.0, 0.0]
    response = rerank(kept, item(digest(hashed(clip()))), item(digest(hashed(clip()), "film")), item(digest(RED)))
    assert not response.errors
    assert list(response.scores) == [1.0, 0.0]


def test_a_digest_keeps_its_place_among_the_parts(kept: InProcess) -> None:
    parts = [text("a ship", "title"), data(picture("white"), "back"), text("sea", "title")]
    whole = rows(vectorize(kept, item(parts[0], data(picture("red"), "front"), *parts[1:])).blocks[0])
    named = vectorize(kept, item(parts[0], digest(RED, "front", pb.MODALITY_IMAGE), *parts[1:]))
    assert rows(named.blocks[0]).tolist() == whole.tolist()
    document = f'{{"text": "a ship", "image": "{RED}"}}'
    assert scores(kept.http, f'{{"image": "{RED}", "text": "ship"}}', [document, RED, "ship"]) == [1.0, 0.5, 0.5]


def test_a_digest_where_media_are_to_be_vectorized_is_resolved(kept: InProcess) -> None:
    vectors = post(kept.http, images=[RED, b64(picture("red"))], video=[hashed(clip()), b64(clip())]).json()
    for key in ("imageVectors", "videoVectors"):
        assert vectors[key][0] == vectors[key][1]
    alone = rows(vectorize(kept, item(digest(RED)), item(data(picture("red")))).blocks[0])
    assert alone[0].tolist() == alone[1].tolist()


def test_what_kind_stored_media_are_is_told_by_their_bytes(kept: InProcess) -> None:
    message = refused_http(post(kept.http, images=[hashed(clip())], video=[RED]), 400)
    assert "images[0]: is a clip, and stated as a picture" in message
    assert "video[0]: is a picture, and stated as a clip" in message
    response = vectorize(kept, item(digest(RED, modality=pb.MODALITY_VIDEO)), item(text("a")))
    assert [error.message for error in response.errors] == ["is a picture, and stated as a clip"]


def test_a_digest_that_is_not_stored_is_a_text_at_the_stock_door(
    kept: InProcess, caplog: pytest.LogCaptureFixture
) -> None:
    before = kept.metric("prism_digests_as_text_total")
    with caplog.at_level(logging.INFO):
        assert scores(kept.http, UNKNOWN, [UNKNOWN, BLUE, RED]) == [1.0, 0.0, 0.0]
    assert kept.metric("prism_digests_as_text_total") == before + 3
    (line,) = (each for each in caplog.messages if "digests" in each)
    assert line == f"3 texts look like digests of media, none of them stored; the first: {UNKNOWN}"


def test_hits_and_misses_are_counted(kept: InProcess) -> None:
    def counted() -> list[float]:
        return [kept.metric("prism_media_store_total", outcome=outcome) for outcome in ("hit", "miss")]

    hits, misses = counted()
    scores(kept.http, "q", [RED, RED, UNKNOWN])
    assert counted() == [hits + 1, misses + 1]


def test_a_digest_that_is_not_stored_is_refused_by_name_where_it_must_be_media(kept: InProcess) -> None:
    why = "digest: no media are stored under it: send them again"
    assert refused_http(post(kept.http, texts=["a"], images=[RED, UNKNOWN]), 422) == f"images[1]: {why}"
    both = item(text("a", "title"), digest(UNKNOWN, "still"))
    targets = [pb.Target(name="words", fields=["title"]), pb.Target(name="looks", fields=["still"])]
    response = vectorize(kept, both, item(digest(RED, "still"), text("b", "title")), targets=targets)
    (error,) = response.errors
    assert (error.index, error.target, error.message) == (0, "looks", f"still: {why}")
    assert error.code == Code.UNIMPLEMENTED.value[0]
    scored = rerank(kept, item(text("q")), item(digest(UNKNOWN)), item(text("q"), digest(UNKNOWN)), item(text("q")))
    assert [(error.index, error.message) for error in scored.errors] == [(0, why), (1, f"parts[1]: {why}")]
    assert list(scored.scores) == [LOWEST_SCORE, LOWEST_SCORE, 1.0]
    assert refused(lambda: rerank(kept, item(digest(UNKNOWN)), item(text("a"))), Code.UNIMPLEMENTED) == f"query: {why}"
    refused_http(post_rerank(kept.http, "q", [f'{{"text": "a", "image": "{UNKNOWN}"}}']), 422)


def test_a_digest_that_is_not_stored_can_be_ranked_last(tmp_path: Path) -> None:
    with InProcess(media_store=str(tmp_path), rerank_bad_document="last") as running:
        response = rerank(running, item(text("q")), item(digest(UNKNOWN)), item(text("q")))
        assert not response.errors
        assert list(response.scores) == [LOWEST_SCORE, 1.0]
        assert running.metric("prism_documents_ranked_last_total") == 1


def test_only_media_of_objects_that_have_a_vector_are_stored(tmp_path: Path) -> None:
    with InProcess(media_store=str(tmp_path)) as running:
        torn = picture("green")[:40]
        assert vectorize(running, item(data(picture("red"))), task=pb.TASK_QUERY).blocks
        assert post(running.http, images=[b64(picture("white")), b64(torn)]).status_code == 400
        assert vectorize(running, item(data(torn)), item(text("a"), data(torn)), item(data(clip()))).errors
        assert post_rerank(running.http, b64(picture("red")), [b64(picture("blue"))]).status_code == 200
        until(lambda: items(running) == 2)
    kept = {path.name for path in tmp_path.glob("??/*")}
    assert kept == {hashed(picture("white")), hashed(clip())}


def test_media_are_stored_again_though_their_vector_is_known(tmp_path: Path) -> None:
    """They were evicted since, for instance."""
    with InProcess(media_store=str(tmp_path), vision_cache_bytes=0) as running:
        fill(running)
        (tmp_path / RED[:2] / RED).unlink()
        assert scores(running.http, "q", [RED]) == [0.0]
        assert items(running) == 1
        fill(running)
        assert scores(running.http, b64(picture("red")), [RED]) == [1.0]


def test_stored_media_count_among_the_bytes_of_a_request(tmp_path: Path) -> None:
    large = picture("red") + bytes(30_000)
    limits = {"max_request_bytes": 100_000, "max_queue_bytes": 200_000}
    with InProcess(media_store=str(tmp_path), vision_cache_bytes=0, **limits) as running:
        assert post(running.http, images=[b64(large)]).status_code == 200
        until(lambda: items(running) == 1)
        assert scores(running.http, "q", [hashed(large)] * 3) == [0.0] * 3
        message = refused_http(post_rerank(running.http, "q", [hashed(large)] * 4), 413)
        assert "max_request_bytes" in message
        documents = [item(digest(hashed(large)))] * 4
        assert "max_request_bytes" in refused(
            lambda: rerank(running, item(text("q")), *documents), Code.INVALID_ARGUMENT
        )
    with InProcess(media_store=str(tmp_path), max_image_bytes=20_000, max_queue_bytes=29_000) as running:
        assert "max_queue_bytes" in refused_http(post_rerank(running.http, "q", [hashed(large)]), 429)
    with InProcess(media_store=str(tmp_path), max_image_bytes=20_000) as running:
        assert "max_image_bytes" in refused_http(post_rerank(running.http, "q", [hashed(large)]), 413)


@pytest.mark.parametrize("folder", ["missing/media", "file"])
def test_a_wrong_directory_ends_the_start_with_a_clear_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with Subprocess("--media-store", str(tmp_path / folder)) as running:
        running.wait_for(f"the media store cannot be used: {tmp_path / folder}: ")
        assert running.status() == 1
