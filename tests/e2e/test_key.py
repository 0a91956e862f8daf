"""Weaviate's stock modules and a Prism that asks for its key: they show it in the address, and only so."""

from __future__ import annotations

from pathlib import Path

import pytest
from weaviate.classes.query import Rerank

from objects import averaged, failures, import_all, scene_objects
from servers import Prism
from weaviate_prism.weaviate.server import WeaviateServer, service

KEY = "k3y"
FAKE = ("--embedder", "fake", "--reranker", "fake")


def test_stock_modules_show_the_key_that_is_in_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRISM_API_KEY", KEY)
    objects = scene_objects(3, 5)
    with Prism(*FAKE) as prism:
        modules = service(prism.url.replace("http://", f"http://prism:{KEY}@"))
        with WeaviateServer(prism.url, tmp_path, environment=modules) as weaviate, weaviate.client() as client:
            assert client.get_meta()["modules"]["multi2vec-bind"]["models"]
            films = averaged(client, "Film")
            assert not import_all(films, objects)
            rerank = Rerank(prop="picture", query="a red circle")
            found = films.query.near_text(objects[0].properties["title"], rerank=rerank, limit=3)
            assert len(found.objects) == 3
            assert not failures(films)
