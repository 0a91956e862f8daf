"""`prism models`: facts have sources, and what it prints can be used as it stands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from weaviate_prism import config
from weaviate_prism.cli import main
from weaviate_prism.models import table, usage
from weaviate_prism.models.facts import UNKNOWN, Entry, Fact

PUBLISHED = [entry for entry in table.ENTRIES if not entry.name.startswith("any ")]
# What the project promises to serve, apart from any SentenceTransformer and any CrossEncoder.
PROMISED = (
    "Qwen3-VL-Embedding-2B",
    "Qwen3-VL-Embedding-8B",
    "llama-nemotron-embed-vl-1b-v2",
    "omni-embed-nemotron-3b",
    "BGE-VL-base",
    "BGE-VL-large",
    "BGE-VL-MLLM-S1",
    "BGE-VL-MLLM-S2",
    "clip-ViT-B-32",
    "clip-ViT-B-16",
    "clip-ViT-L-14",
    "clip-ViT-B-32-multilingual-v1",
    "siglip-base-patch16-224",
    "siglip2-base-patch16-224",
    "Qwen3-VL-Reranker-2B",
    "Qwen3-VL-Reranker-8B",
    "llama-nemotron-rerank-vl-1b-v2",
    "jina-reranker-m0",
    "Qwen3-Reranker-0.6B",
    "Qwen3-Reranker-4B",
    "Qwen3-Reranker-8B",
    "mxbai-rerank-base-v2",
    "mxbai-rerank-large-v2",
)


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_model_is_in_the_table(name: str) -> None:
    entry = table.find(name)
    assert entry is not None
    assert table.find(entry.name) is entry
    assert table.find(name.upper()) is entry


def facts(entry: Entry) -> dict[str, Fact]:
    values = {name: getattr(entry, name) for name in Entry.__slots__}
    return {name: value for name, value in values.items() if isinstance(value, Fact)}


@pytest.mark.parametrize("entry", table.ENTRIES, ids=lambda entry: entry.name)
def test_what_has_no_source_is_unknown(entry: Entry) -> None:
    for name, fact in facts(entry).items():
        assert fact == UNKNOWN or fact.source.startswith("https://"), name
        assert fact.value, name
    assert bool(entry.trap) == bool(entry.repair)


def test_names_are_unique() -> None:
    names = [entry.name.lower().rpartition("/")[2] for entry in table.ENTRIES]
    assert len(set(names)) == len(names)


def test_the_table_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    lines = {line.split("  ")[0]: line for line in printed.splitlines()}
    for entry in table.ENTRIES:
        assert entry.licence.value in lines[entry.name]
        assert lines[entry.name].endswith(entry.proof)
    assert "unknown" in lines["sentence-transformers/clip-ViT-B-32"]


@pytest.mark.parametrize("entry", table.ENTRIES, ids=lambda entry: entry.name)
def test_a_model_is_printed_with_all_facts_and_their_sources(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", entry.name]) == 0
    printed = capsys.readouterr().out
    for name, fact in facts(entry).items():
        if entry.kind == "embedder" or name != "dimensions":
            assert fact.value in printed
            assert fact.source in printed
    assert ("Not for commercial use." in printed) == entry.noncommercial
    assert "prism serve --host 0.0.0.0 --" in printed


def test_a_model_that_is_not_there_is_named_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "gpt"]) == 2
    error = capsys.readouterr().err
    assert "'gpt' is not in the table" in error
    assert "Qwen/Qwen3-VL-Embedding-2B" in error


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_the_command_serves_this_model_and_no_other(entry: Entry) -> None:
    flags = [flag.replace("COMMIT", 40 * "1") for flag in usage.serve_flags(entry)]
    settings = config.parse_command(flags, {})
    served = {"embedder": settings.embedder, "reranker": settings.reranker}
    assert served.pop(entry.kind) == entry.name
    assert list(served.values()) == ["none"]
    revision = {"embedder": settings.embedder_revision, "reranker": settings.reranker_revision}[entry.kind]
    trusted = (f"{entry.name}@{revision}",) if entry.own_code.value == "yes" else ()
    assert settings.trust_remote_code == trusted


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("entry", table.ENTRIES, ids=lambda entry: entry.name)
def test_the_code_makes_a_collection(entry: Entry, native: bool) -> None:
    created: dict[str, Any] = {}
    collections = SimpleNamespace(create=lambda name, **options: created.update(options))
    exec(usage.collection(entry, native=native), {"client": SimpleNamespace(collections=collections)})
    module = usage.native_module(entry) if native else usage.stock_module(entry)
    if entry.kind == "embedder":
        assert created["vector_config"].vectorizer.vectorizer.value == module
        said = created["vector_config"].vectorizer.model_dump(by_alias=True, exclude_none=True)
    else:
        assert created["reranker_config"].reranker.value == module
        said = created["reranker_config"].model_dump(by_alias=True, exclude_none=True)
    assert len(created["properties"]) == sum(entry.reads(each) for each in usage.FIELDS)
    if native or entry.kind == "embedder":
        assert ("still" in str(said)) == entry.reads("image")


@pytest.mark.parametrize("entry", table.ENTRIES, ids=lambda entry: entry.name)
def test_the_environment_enables_the_module_that_the_code_names(entry: Entry) -> None:
    module = usage.stock_module(entry)
    assert usage.ENVIRONMENTS[module][0] == f"ENABLE_MODULES={module}"
