"""Collections with tenants: each finds and reranks its own objects, as far as Weaviate tells modules the tenant."""

from __future__ import annotations

from functools import partial

import pytest
from weaviate.classes.config import Configure
from weaviate.classes.query import Filter, NearMediaType, Rerank
from weaviate.classes.tenants import Tenant
from weaviate.exceptions import WeaviateQueryError

from contract.samples import clip
from e2e.native.shelf import FIELDS, IDS, LOWEST, PROPERTIES, assert_ranked, fill, scored
from objects import AnyCollection, b64, jpeg, prism_reranker, prism_vector
from servers import Stack

QUERY = "red sail wheels"
RERANK = Rerank(prop="title", query=QUERY)
RERANK_PICTURE = Rerank(prop="picture", query=QUERY)


def tenanted(stack: Stack, name: str, **reranker: list[str]) -> AnyCollection:
    """Tenant `full` has all things, `empty` none."""
    created = stack.client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=prism_vector(textFields=["title"]),
        reranker_config=prism_reranker(**reranker),
        multi_tenancy_config=Configure.multi_tenancy(enabled=True, auto_tenant_creation=True),
    )
    created.tenants.create([Tenant(name="full"), Tenant(name="empty")])
    fill(created.with_tenant("full"))
    return created


@pytest.fixture(scope="module")
def things(fake: Stack) -> AnyCollection:
    return tenanted(fake, "TenantThings", **FIELDS)


@pytest.fixture(scope="module")
def full(things: AnyCollection) -> AnyCollection:
    return things.with_tenant("full")


def test_objects_get_their_vectors_and_are_found_in_their_tenant_alone(
    fake: Stack, things: AnyCollection, full: AnyCollection
) -> None:
    found = full.query.near_text("red ship", limit=1, include_vector=True).objects[0]
    assert str(found.uuid) == IDS["red ship"]
    assert found.vector["default"] == pytest.approx(fake.prism.vector("red ship"), abs=1e-6)
    assert things.with_tenant("empty").query.near_text("red ship", rerank=RERANK).objects == []


def test_search_by_text_picture_or_clip_reads_what_is_missing(fake: Stack, full: AnyCollection) -> None:
    by_text = full.query.near_text("ship", rerank=RERANK_PICTURE, return_properties=["kind"])
    by_picture = full.query.near_image(b64(jpeg()), rerank=RERANK_PICTURE, return_properties=["kind"])
    by_clip = full.query.near_media(b64(clip()), NearMediaType.VIDEO, rerank=RERANK_PICTURE, return_properties=["kind"])
    by_words = full.query.bm25("thing", rerank=RERANK_PICTURE, return_properties=["kind"])
    for found in (by_text, by_picture, by_clip, by_words):
        assert_ranked(fake.prism, scored(found.objects), [QUERY])
        assert all(each.properties == {"kind": "thing"} for each in found.objects)


def test_picture_is_the_query_where_none_is_given(fake: Stack, full: AnyCollection) -> None:
    found = full.query.near_image(b64(jpeg("blue")), rerank=Rerank(prop="title"))
    assert_ranked(fake.prism, scored(found.objects), [jpeg("blue")])


@pytest.mark.parametrize("search", ["near_vector", "near_object"])
def test_search_that_does_not_tell_its_tenant_is_ranked_by_what_was_read(
    fake: Stack, full: AnyCollection, search: str
) -> None:
    origin = {"near_vector": [0.5] * 32, "near_object": IDS["ship"]}[search]
    found = getattr(full.query, search)(origin, rerank=RERANK, return_properties=["title", "tags"])
    assert_ranked(fake.prism, scored(found.objects), [QUERY], ["title", "tags"])


def test_search_that_does_not_tell_its_tenant_fails_where_nothing_was_read(fake: Stack) -> None:
    clips = tenanted(fake, "TenantClips", videoFields=["clip"]).with_tenant("full")
    rerank = Rerank(prop="clip", query=QUERY)
    without = Filter.by_id().equal(IDS["red car"])
    with pytest.raises(WeaviateQueryError, match="tenant"):
        clips.query.near_vector([0.5] * 32, rerank=rerank, filters=without)
    found = clips.query.near_vector([0.5] * 32, rerank=rerank)
    assert_ranked(fake.prism, scored(found.objects), [QUERY], ["clip"])


def test_hybrid_search_is_ranked(fake: Stack, full: AnyCollection) -> None:
    """Weaviate reads all fields of hits by keyword."""
    found = full.query.hybrid("thing", rerank=RERANK, return_properties=["kind"])
    assert_ranked(fake.prism, scored(found.objects), [QUERY])


def test_hybrid_search_is_ranked_where_its_best_hit_has_no_keyword(fake: Stack, full: AnyCollection) -> None:
    """Such a hit has what was asked for, and no tenant by which more could be read."""
    search = partial(full.query.hybrid, "road", vector=fake.prism.vector("green tree"), alpha=0.9)
    assert str(search().objects[0].uuid) == IDS["green tree"]
    found = search(rerank=RERANK, return_properties=["title", "tags"])
    assert_ranked(fake.prism, scored(found.objects), [QUERY], ["title", "tags"])


def test_hit_of_which_nothing_was_read_is_last(full: AnyCollection) -> None:
    rerank = Rerank(prop="clip", query=QUERY)
    found = full.query.hybrid("road", vector=[0.5] * 32, rerank=rerank, return_properties=["kind"])
    scores = scored(found.objects)
    assert list(scores)[:2] == [IDS["red car"], IDS["ship"]]  # of the hit by keyword all is read, of the other its clip
    assert set(list(scores)[2:]) == {IDS["red ship"], IDS["green tree"]}
    assert list(scores.values())[2:] == [pytest.approx(LOWEST)] * 2


def test_graphql_reads_all_fields_whatever_the_search(fake: Stack, full: AnyCollection) -> None:
    answer = fake.client.graphql_raw_query(
        f"""{{ Get {{ TenantThings(tenant: "full", nearObject: {{id: "{IDS["ship"]}"}}) {{
            _additional {{ id rerank(query: "{QUERY}") {{ score }} }} }} }} }}"""
    )
    assert answer.errors is None, answer.errors
    found = [each["_additional"] for each in answer.get["TenantThings"]]
    assert_ranked(fake.prism, {each["id"]: each["rerank"][0]["score"] for each in found}, [QUERY])


def test_batch_of_several_tenants_some_of_them_new(fake: Stack, things: AnyCollection) -> None:
    titles = {f"tenant{number % 3}": f"number {number}" for number in range(3)}
    with fake.client.batch.fixed_size(batch_size=10) as batch:
        for tenant, title in titles.items():
            batch.add_object(things.name, {"title": title, "picture": b64(jpeg())}, tenant=tenant)
    assert fake.client.batch.failed_objects == []
    for tenant, title in titles.items():
        found = things.with_tenant(tenant).query.near_text("number", rerank=RERANK, include_vector=True).objects
        assert [each.properties["title"] for each in found] == [title]
        assert found[0].vector["default"] == pytest.approx(fake.prism.vector(title), abs=1e-6)
