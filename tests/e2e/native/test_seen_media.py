"""Pictures that Prism has scored are not sent again, and scores are the same; across a restart of Prism, too."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from weaviate.classes.config import DataType, Property
from weaviate.classes.query import Rerank

from objects import AnyCollection, b64, jpeg, padded_jpeg, prism_reranker, prism_vector
from relay import Relay
from servers import FAKE, Prism, native_variables
from weaviate_prism.weaviate.server import WeaviateServer

COUNT, SIZE = 20, 50_000
SAME = 7  # the picture that is searched for


@pytest.fixture(scope="module")
def prism() -> Iterator[Prism]:
    with Prism(*FAKE) as running:
        yield running


@pytest.fixture(scope="module")
def relay(prism: Prism) -> Iterator[Relay]:
    with Relay(prism.grpc_address) as running:
        yield running


@pytest.fixture(scope="module")
def photos(
    prism: Prism, relay: Relay, binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AnyCollection]:
    variables = {**native_variables(prism), "PRISM_MODULE_ADDRESS": relay.address}
    server = WeaviateServer(prism.url, tmp_path_factory.mktemp("seen"), binary=binary, environment=variables)
    with server as weaviate, weaviate.client() as client:
        collection = client.collections.create(
            "Photos",
            vector_config=prism_vector(imageFields=["photo"]),
            reranker_config=prism_reranker(imageFields=["photo"]),
            properties=[Property(name="photo", data_type=DataType.BLOB)],
        )
        for number in range(COUNT):
            photo = padded_jpeg(number, SIZE, jpeg("blue" if number == SAME else "red"))
            collection.data.insert({"photo": b64(photo)}, uuid=uuid.UUID(int=number))
        yield collection


@dataclass(frozen=True)
class Answer:
    scores: dict[int, float | None]  # by number
    received: int  # bytes that Prism was sent


def search(photos: AnyCollection, relay: Relay) -> Answer:
    before = relay.received
    found = photos.query.near_object(
        uuid.UUID(int=SAME),
        limit=COUNT,
        rerank=Rerank(prop="photo", query=b64(jpeg("blue"))),
        return_properties=[],
    )
    scores = {each.uuid.int: each.metadata.rerank_score for each in found.objects}
    return Answer(scores, relay.received - before)


def test_pictures_are_sent_again_only_to_a_prism_that_has_not_seen_them(
    photos: AnyCollection, relay: Relay, prism: Prism
) -> None:
    answers = [search(photos, relay) for _ in range(3)]
    prism.kill()
    prism.start()
    answers += [search(photos, relay) for _ in range(2)]
    assert [answer.received > COUNT * SIZE for answer in answers] == [True, True, False, True, False]
    assert max(answers[2].received, answers[4].received) < COUNT * 1000
    for answer in answers:
        assert answer.scores == {number: float(number == SAME) for number in range(COUNT)}
