"""Properties of which Weaviate keeps only a digest: vectorized when they come in, never seen again."""

from __future__ import annotations

import pytest
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import Rerank
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateQueryError

from objects import AnyCollection, b64, jpeg, prism_reranker, prism_vector
from servers import Stack


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


def test_reranking_digests_is_refused_by_name(fake: Stack) -> None:
    collection = photos(fake, "PhotosRanked")
    collection.data.insert({"photo": b64(jpeg()), "title": "ship"})
    with pytest.raises(WeaviateQueryError, match="digest"):
        collection.query.bm25("ship", rerank=Rerank(prop="photo", query="red"))
