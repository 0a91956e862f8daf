"""Weaviate's stock modules and a Prism that asks for its key: they show it in the address, or as their own key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from weaviate import WeaviateClient
from weaviate.classes.config import Configure
from weaviate.classes.query import Rerank

from objects import PROPERTIES, AnyCollection, averaged, failures, import_all, scene_objects
from servers import Prism
from weaviate_prism.weaviate.server import WeaviateServer, service

KEY = "k3y"
FAKE = ("--embedder", "fake", "--reranker", "fake")


def test_stock_modules_show_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that send one of their own show that, whatever the address; all others the address' password.

    The address names a model, too.
    """
    monkeypatch.setenv("PRISM_API_KEY", KEY)
    objects = scene_objects(3, 5)
    with Prism(*FAKE) as prism:
        # which they also probe while Weaviate starts
        modules = service(prism.url.replace("http://", f"http://prism:{KEY}@") + "/p/fake")
        with WeaviateServer(prism.url, tmp_path, environment=modules) as weaviate, weaviate.client() as client:
            assert client.get_meta()["modules"]["multi2vec-bind"]["models"]
            for films in (averaged(client, "Film"), keyed(client, "Keyed", prism.url)):
                assert not import_all(films, objects)
                rerank = Rerank(prop="picture", query="a red circle")
                found = films.query.near_text(objects[0].properties["title"], rerank=rerank, limit=3)
                assert len(found.objects) == 3
                assert not failures(films)


def keyed(client: WeaviateClient, name: str, url: Any) -> AnyCollection:
    return client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=Configure.Vectors.multi2vec_voyageai(base_url=url, text_fields=["title"]),
        reranker_config=Configure.Reranker.cohere(base_url=url),
    )
