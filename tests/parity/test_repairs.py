"""What a published folder lacks is added, prompts are written as published, and what cannot be repaired is refused."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder

from engines import running
from stand_ins import EMBEDDERS, FAMILIES, RERANKERS, StandIn, cached, entry, scores
from tiers import loaded_the_standard_way
from tiny import texts, towers
from weaviate_prism import bundled
from weaviate_prism.models import loading
from weaviate_prism.values import Item, Modality, Part, Text

# transformers leaves them open (processing_utils.py, additional templates).
pytestmark = pytest.mark.filterwarnings(r"ignore:unclosed file .*reranker\.jinja:ResourceWarning")

TOLERANCE = 1e-5
DOCUMENTS: list[tuple[Part, ...]] = [(Text(text),) for text in ("a red bicycle", "", "quarterly revenue rose")]


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_reranker_without_its_files_is_completed(
    name: str, made: Callable[[StandIn], Path], tmp_path: Path
) -> None:
    whole = made(next(each for each in RERANKERS.values() if entry(name).name.startswith(each.models)))
    bare = texts.language_reranker(tmp_path / name, FAMILIES[name], template=None)
    np.testing.assert_allclose(await scores(bare, DOCUMENTS), await scores(whole, DOCUMENTS), atol=TOLERANCE, rtol=0)


async def test_a_missing_folder_of_the_answer_is_added(made: Callable[[StandIn], Path], tmp_path: Path) -> None:
    whole, broken = made(RERANKERS["qwen3-vl"]), tmp_path / "Qwen3-VL-Reranker-8B"
    shutil.copytree(whole, broken, ignore=shutil.ignore_patterns("1_LogitScore"))
    with loaded_the_standard_way():
        ours, expected = await scores(broken, DOCUMENTS), await scores(whole, DOCUMENTS)
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=0)


async def test_a_missing_folder_of_an_unknown_model_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "somebody's"
    shutil.copytree(bundled.RERANKER_DIR, broken, ignore=shutil.ignore_patterns("1_LogitScore"))
    async with running(embedder="none", reranker=str(broken), device="cpu") as engine:
        assert "somebody's: modules.json names 1_LogitScore" in await engine.failed()


async def test_a_model_of_the_hub_is_completed_from_its_cache(
    made: Callable[[StandIn], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, commit = "Qwen3-Reranker-0.6B", "1" * 40
    texts.language_reranker(cached(tmp_path, f"Qwen/{name}", commit), FAMILIES[name], template=None)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    async with running(embedder="none", reranker=f"Qwen/{name}", device="cpu", dtype="float32") as engine:
        (info,) = engine.info().models
        items = [Item(each) for each in DOCUMENTS]
        found = await engine.rerank(Item((Text("red"),)), items, deadline=time.monotonic() + 60)
    assert (info.name, info.revision) == (f"Qwen/{name}", commit)
    expected = await scores(made(RERANKERS["qwen3"]), DOCUMENTS)
    np.testing.assert_allclose(np.array(found, dtype=float), expected, atol=TOLERANCE, rtol=0)


async def test_a_language_model_that_cannot_be_told_a_pair_is_refused(tmp_path: Path) -> None:
    somebodys = texts.language_reranker(tmp_path / "somebodys-model", "qwen3", template=None)
    async with running(embedder="none", reranker=str(somebodys), device="cpu") as engine:
        assert "somebodys-model: cannot read a pair of texts" in await engine.failed()


async def test_an_embedder_without_its_files_is_refused_with_the_cure(tmp_path: Path) -> None:
    bare = tmp_path / "Qwen3-VL-Embedding-2B"
    shutil.copytree(bundled.EMBEDDER_DIR, bare, ignore=shutil.ignore_patterns("modules.json"))
    async with running(embedder=str(bare), reranker="none", device="cpu") as engine:
        assert (await engine.failed()).endswith("mean pooling; its revision refs/pr/23 has one")


async def test_multilingual_clip_of_the_hub_is_joined_with_its_picture_tower(
    made: Callable[[StandIn], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(EMBEDDERS["multilingual-clip"])
    commits = {"clip-ViT-B-32-multilingual-v1": "1" * 40, "clip-ViT-B-32": "2" * 40}
    for name, commit in commits.items():
        shutil.copytree(directory.parent / name, cached(tmp_path, f"sentence-transformers/{name}", commit))
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    model = "sentence-transformers/clip-ViT-B-32-multilingual-v1"
    async with running(embedder=model, reranker="none", device="cpu") as engine:
        (info,) = engine.info().models
    assert info.modalities == {Modality.TEXT, Modality.IMAGE}
    assert info.revision == "+".join(commits.values())


async def test_clip_without_its_files_pools_by_itself(tmp_path: Path) -> None:
    async with running(embedder=str(towers.bare_clip(tmp_path)), reranker="none", device="cpu") as engine:
        (info,) = engine.info().models
    assert info.modalities == {Modality.TEXT, Modality.IMAGE}
    assert info.dimensions == towers.CLIP_WIDTH


async def test_a_licence_that_forbids_commerce_is_told_once(
    made: Callable[[StandIn], Path], caplog: pytest.LogCaptureFixture
) -> None:
    loading.tell_licence.cache_clear()
    for kind in ("jina", "jina", "nemotron-rerank"):
        await scores(made(RERANKERS[kind]), DOCUMENTS)
    told = [record.getMessage() for record in caplog.records if "commercially" in record.getMessage()]
    assert told == [
        "jina-reranker-m0 may not be used commercially: cc-by-nc-4.0, see https://huggingface.co/jinaai/jina-reranker-m0"
    ]


async def test_multilingual_clip_without_its_picture_tower_reads_texts(tmp_path: Path) -> None:
    alone = texts.projected(tmp_path, "clip-ViT-B-32-multilingual-v1", towers.CLIP_WIDTH)
    async with running(embedder=str(alone), reranker="none", device="cpu") as engine:
        (info,) = engine.info().models
    assert info.modalities == {Modality.TEXT}


QWEN3_PROMPT = """<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct provided. \
Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: {instruction}
<Query>: red
<Document>: a bicycle<|im_end|>
<|im_start|>assistant
<think>

</think>

"""
MXBAI_PROMPT = """<|im_start|>system
You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>
<|im_start|>user
{instruction}query: red
document: a bicycle
You are a search relevance expert who evaluates how well documents match search queries. For each query-document \
pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment \
(0 for not relevant, 1 for relevant).
Relevance:<|im_end|>
<|im_start|>assistant
"""
DEFAULT = "Given a web search query, retrieve relevant passages that answer the query"
QWEN_VL_PROMPT = """<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct provided. \
Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: Given a search query, retrieve relevant candidates that answer the query.<Query>:red
<Document>:a bicycle<|im_end|>
<|im_start|>assistant
"""
JINA_PROMPT = "**Document**:\na bicycle\n**Query**:\nred<|box_end|>"


@pytest.mark.parametrize(
    ("kind", "instruction", "prompt"),
    [
        ("qwen3", None, QWEN3_PROMPT.format(instruction=DEFAULT)),
        ("qwen3", "Find it.", QWEN3_PROMPT.format(instruction="Find it.")),
        ("mxbai", None, MXBAI_PROMPT.format(instruction="")),
        ("mxbai", "Find it.", MXBAI_PROMPT.format(instruction="instruction: Find it.\n")),
        ("qwen3-vl", None, QWEN_VL_PROMPT),
        ("jina", None, JINA_PROMPT),
    ],
)
def test_a_pair_is_written_as_published(
    kind: str, instruction: str | None, prompt: str, made: Callable[[StandIn], Path]
) -> None:
    model = CrossEncoder(str(made(RERANKERS[kind])), device="cpu", trust_remote_code=True)
    features = model.preprocess([("red", "a bicycle")], prompt=instruction)
    assert model.tokenizer.decode(features["input_ids"][0]) == prompt


@pytest.mark.parametrize(("kind", "answers"), [("qwen3", ["yes", "no"]), ("mxbai", ["1", "0"])])
def test_the_answer_is_read_at_its_tokens(kind: str, answers: list[str], made: Callable[[StandIn], Path]) -> None:
    directory = made(RERANKERS[kind])
    head = json.loads((directory / "1_LogitScore" / "config.json").read_text())
    tokenizer = CrossEncoder(str(directory), device="cpu").tokenizer
    assert tokenizer.convert_ids_to_tokens([head["true_token_id"], head["false_token_id"]]) == answers
