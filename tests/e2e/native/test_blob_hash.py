"""Properties of which Weaviate keeps only a digest: vectorized when they come in; then only Prism's store has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import Rerank
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateQueryError

from objects import AnyCollection, b64, jpeg, prism_reranker, prism_vector
from servers import FAKE, Prism, Stack, native_stack, wait_until

COLOURS = ("red", "blue", "green")


@pytest.fixture(scope="module")
def storing(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Prism keeps media."""
    folder = tmp_path_factory.mktemp("storing")
    flags = "--media-store", str(folder / "media"), "--vision-cache-bytes", "0"
    with native_stack(folder / "weaviate", Prism(*FAKE, *flags)) as running:
        yield running


def restarted(stack: Stack, stored: float) -> None:
    """Prism is killed once it has stored so many media, and started again."""
    wait_until(lambda: stack.prism.metric("prism_media_store_items") >= stored)
    stack.prism.kill()
    stack.prism.start()


def photos(stack: Stack, name: str, *, tenants: bool = False) -> AnyCollection:
    return stack.client.collections.create(
        name,
        properties=[
            Property(name="photo", data_type=DataType.BLOB_HASH),
            Property(name="title", data_type=DataType.TEXT),
            Property(name="note", data_type=DataType.TEXT),
        ],
        vector_config=[prism_vector("looks", imageFields=["photo"]), prism_vector("words", textFields=["title"])],
        reranker_config=prism_reranker(imageFields=["photo"]),
        multi_tenancy_config=Configure.multi_tenancy(enabled=tenants),
    )


def vector(collection: AnyCollection, uuid: object, name: str) -> object:
    return collection.query.fetch_object_by_id(str(uuid), include_vector=True).vector[name]


def test_media_are_vectorized_when_they_come_in(fake: Stack) -> None:
    collection = photos(fake, "Photos")
    single = collection.data.insert({"photo": b64(jpeg()), "title": "a"})
    (batched,) = collection.data.insert_many([{"photo": b64(jpeg("blue")), "title": "a"}]).uuids.values()
    assert vector(collection, single, "looks") == pytest.approx(fake.prism.vector(jpeg()), abs=1e-6)
    assert vector(collection, batched, "looks") == pytest.approx(fake.prism.vector(jpeg("blue")), abs=1e-6)
    assert vector(collection, single, "words") == pytest.approx(fake.prism.vector("a"), abs=1e-6)
    stored = collection.query.fetch_object_by_id(single, return_properties=["photo"]).properties["photo"]
    assert len(stored) == 64


def test_media_sent_again_are_vectorized_again(fake: Stack) -> None:
    collection = photos(fake, "PhotosReplaced")
    inserted = collection.data.insert({"photo": b64(jpeg()), "title": "a"})
    collection.data.replace(inserted, {"photo": b64(jpeg("blue")), "title": "a"})
    assert vector(collection, inserted, "looks") == pytest.approx(fake.prism.vector(jpeg("blue")), abs=1e-6)
    collection.data.update(inserted, {"photo": b64(jpeg("green"))})
    assert vector(collection, inserted, "looks") == pytest.approx(fake.prism.vector(jpeg("green")), abs=1e-6)


def test_update_of_another_property_leaves_the_vector_of_the_media(fake: Stack) -> None:
    collection = photos(fake, "PhotosUpdated")
    inserted = collection.data.insert({"photo": b64(jpeg()), "title": "a"})
    collection.data.update(inserted, {"title": "b"})
    assert vector(collection, inserted, "looks") == pytest.approx(fake.prism.vector(jpeg()), abs=1e-6)
    assert vector(collection, inserted, "words") == pytest.approx(fake.prism.vector("b"), abs=1e-6)


def test_update_that_needs_media_which_are_gone_says_what_to_do(fake: Stack) -> None:
    """In a collection with tenants Weaviate asks for all vectors again, whatever was changed."""
    collection = photos(fake, "PhotosOfTenants", tenants=True)
    collection.tenants.create("one")
    of_tenant = collection.with_tenant("one")
    inserted = of_tenant.data.insert({"photo": b64(jpeg()), "title": "a"})
    with pytest.raises(UnexpectedStatusCodeError, match=r"(?s)photo.*digest.*PUT"):
        of_tenant.data.update(inserted, {"note": "b"})
    assert vector(of_tenant, inserted, "looks") == pytest.approx(fake.prism.vector(jpeg()), abs=1e-6)


def test_reranking_digests_is_refused_by_name_once_prism_has_forgotten_the_media(fake: Stack) -> None:
    collection = photos(fake, "PhotosRanked")
    collection.data.insert({"photo": b64(jpeg()), "title": "ship"})
    found = collection.query.bm25("ship", rerank=Rerank(prop="photo", query="red"))
    assert [each.metadata.rerank_score for each in found.objects] == [0.0]
    fake.prism.kill()
    fake.prism.start()
    with pytest.raises(WeaviateQueryError, match="digest"):
        collection.query.bm25("ship", rerank=Rerank(prop="photo", query="red"))


def test_stored_media_are_reranked_by_their_digests_after_a_restart(storing: Stack) -> None:
    collection = photos(storing, "PhotosStored")
    ids = {
        str(collection.data.insert({"photo": b64(jpeg(colour)), "title": f"a {colour} ship"})): colour
        for colour in COLOURS
    }
    restarted(storing, len(COLOURS))
    query = f"data:image/jpeg;base64,{b64(jpeg('blue'))}"
    found = collection.query.bm25("ship", rerank=Rerank(prop="photo", query=query), return_properties=["title"])
    assert {ids[str(each.uuid)]: each.metadata.rerank_score for each in found.objects} == {
        "blue": 1.0,
        "red": 0.0,
        "green": 0.0,
    }
    assert ids[str(found.objects[0].uuid)] == "blue"


def test_update_vectorizes_stored_media_anew(storing: Stack) -> None:
    collection = photos(storing, "PhotosOfTenants", tenants=True)
    collection.tenants.create("one")
    of_tenant = collection.with_tenant("one")
    stored = storing.prism.metric("prism_media_store_items")
    inserted = of_tenant.data.insert({"photo": b64(jpeg("white")), "title": "a"})
    restarted(storing, stored + 1)
    hits = storing.prism.metric("prism_media_store_total", outcome="hit")
    of_tenant.data.update(inserted, {"note": "b"})
    assert storing.prism.metric("prism_media_store_total", outcome="hit") == hits + 1
    assert vector(of_tenant, inserted, "looks") == pytest.approx(storing.prism.vector(jpeg("white")), abs=1e-6)


def test_media_that_were_never_stored_are_refused_by_name(storing: Stack) -> None:
    """They came in when Prism had no store, or made room."""
    collection = storing.client.collections.create(
        "PhotosUnseen",
        properties=[
            Property(name="photo", data_type=DataType.BLOB_HASH),
            Property(name="title", data_type=DataType.TEXT),
        ],
        vector_config=[prism_vector("words", textFields=["title"])],
        reranker_config=prism_reranker(imageFields=["photo"]),
    )
    collection.data.insert({"photo": b64(jpeg("black")), "title": "ship"})
    with pytest.raises(WeaviateQueryError, match="digest: no media are stored under it"):
        collection.query.bm25("ship", rerank=Rerank(prop="photo", query="red"))
