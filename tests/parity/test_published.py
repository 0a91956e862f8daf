"""Every kind of model in the table is read as Sentence Transformers reads it: stand-ins with random weights.

The reference is plain Sentence Transformers on the same directory, one input at a time; Prism gets all of them at once.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sentence_transformers import CrossEncoder, SentenceTransformer

from engines import running
from tiny import remote, texts, towers
from weaviate_prism import bundled
from weaviate_prism.models import completing, loading, table
from weaviate_prism.values import Image, Item, Modality, Part, Priority, Task, Text

TOLERANCE = 1e-5
TEXTS = [Text("a red bicycle"), Text(""), Text("Quarterly REVENUE rose " * 5)]
SIZES = {"mxbai-rerank-base-v2": "qwen2", "Qwen3-Reranker-0.6B": "qwen3"}


MEDIA = """{%- macro written(parts) -%}{%- for part in parts -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endmacro -%}
{%- set system = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | list -%}
"""
# https://arxiv.org/abs/2601.04720: the instruction as system message, and the vector of an appended padding token.
QWEN_VL_EMBEDDER = (
    MEDIA
    + """{{- '<|im_start|>system\n' + (written(system[0]) if system else "Represent the user's input.") + '<|im_end|>\n' -}}
{%- for message in messages if message.role != 'system' -%}
{{- '<|im_start|>' + message.role + '\n' + written(message.content) + '<|im_end|>\n' -}}
{%- endfor -%}
{{- '<|im_start|>assistant\n<|endoftext|>' -}}"""
)
# https://docs.vllm.ai/projects/vllm-ascend-cn/zh-cn/latest/tutorials/models/Qwen3-VL-Reranker.html
QWEN_VL_RERANKER = (
    MEDIA
    + """{%- set found = namespace(query='', document='') -%}
{%- for message in messages -%}
{%- if message.role == 'query' -%}{%- set found.query = written(message.content) -%}
{%- elif message.role == 'document' -%}{%- set found.document = written(message.content) -%}{%- endif -%}
{%- endfor -%}
{{- '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: ' -}}
{{- written(system[0]) if system else 'Given a search query, retrieve relevant candidates that answer the query.' -}}
{{- '<Query>:' + found.query + '\n<Document>:' + found.document + '<|im_end|>\n<|im_start|>assistant\n' -}}"""
)


@dataclass(frozen=True)
class StandIn:
    """How a directory is made, and the models that have its architecture and layout."""

    make: Callable[[Path], Path]
    models: tuple[str, ...]


def qwen_vl_embedder(folder: Path) -> Path:
    return as_published(bundled.EMBEDDER_DIR, folder / "Qwen3-VL-Embedding-2B", QWEN_VL_EMBEDDER)


def qwen_vl_reranker(folder: Path) -> Path:
    return as_published(bundled.RERANKER_DIR, folder / "Qwen3-VL-Reranker-2B", QWEN_VL_RERANKER)


def as_published(ours: Path, folder: Path, template: str) -> Path:
    """The bundled model, of the same architecture and layout, with the prompt of the large ones."""
    shutil.copytree(ours, folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def repairable_clip(folder: Path) -> Path:
    towers.legacy_clip(folder, "clip-ViT-B-32")
    return texts.projected(folder, "clip-ViT-B-32-multilingual-v1", towers.CLIP_WIDTH)


def language_reranker(folder: Path, name: str) -> Path:
    """As it is published now, with Sentence Transformers' files."""
    bare = texts.language_reranker(folder / "plain", SIZES[name], template(name))
    model = CrossEncoder(str(bare), device="cpu", activation_fn=texts.identity())
    ids = model.tokenizer.convert_tokens_to_ids(list(entry(name).answers or ()))
    model[1].true_token_id, model[1].false_token_id = ids
    model.save_pretrained(str(folder / name))
    return folder / name


def template(name: str) -> str:
    return (Path(completing.__file__).parent / "templates" / entry(name).template).read_text()


def entry(name: str) -> table.Entry:
    found = table.find(name)
    assert found is not None
    return found


EMBEDDERS = {
    "text": StandIn(texts.text_embedder, ("any SentenceTransformer",)),
    "qwen3-vl": StandIn(qwen_vl_embedder, ("Qwen/Qwen3-VL-Embedding",)),
    "legacy-clip": StandIn(
        towers.legacy_clip, tuple(f"sentence-transformers/clip-ViT-{n}" for n in ("B-32", "B-16", "L-14"))
    ),
    "multilingual-clip": StandIn(repairable_clip, ("sentence-transformers/clip-ViT-B-32-multilingual-v1",)),
    "siglip": StandIn(towers.siglip, ("google/siglip-",)),
    "siglip2": StandIn(towers.siglip2, ("google/siglip2-",)),
    "bge-clip": StandIn(remote.bge_clip, ("BAAI/BGE-VL-base", "BAAI/BGE-VL-large")),
    "bge-mllm": StandIn(remote.bge_mllm, ("BAAI/BGE-VL-MLLM",)),
    "nemotron-embed": StandIn(remote.nemotron_embedder, ("nvidia/llama-nemotron-embed-vl",)),
    "omni-embed": StandIn(remote.omni_embedder, ("nvidia/omni-embed-nemotron",)),
}
RERANKERS = {
    "text": StandIn(texts.cross_encoder, ("any CrossEncoder",)),
    "qwen3-vl": StandIn(qwen_vl_reranker, ("Qwen/Qwen3-VL-Reranker",)),
    "qwen3": StandIn(partial(language_reranker, name="Qwen3-Reranker-0.6B"), ("Qwen/Qwen3-Reranker",)),
    "mxbai": StandIn(partial(language_reranker, name="mxbai-rerank-base-v2"), ("mixedbread-ai/mxbai-rerank",)),
    "jina": StandIn(remote.jina_reranker, ("jinaai/jina-reranker-m0",)),
    "nemotron-rerank": StandIn(remote.nemotron_reranker, ("nvidia/llama-nemotron-rerank-vl",)),
}


def test_every_row_that_claims_a_stand_in_has_one() -> None:
    for stand_ins, kind in ((EMBEDDERS, "embedder"), (RERANKERS, "reranker")):
        covered = tuple(name for stand_in in stand_ins.values() for name in stand_in.models)
        claimed = [row for row in table.ENTRIES if row.kind == kind and row.proof != "documentation"]
        assert claimed
        assert not [row.name for row in claimed if not row.name.startswith(covered)]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[StandIn], Path]:
    """Makes each directory once."""
    directories: dict[StandIn, Path] = {}

    def make(stand_in: StandIn) -> Path:
        if stand_in not in directories:
            directories[stand_in] = stand_in.make(tmp_path_factory.mktemp("stand-in"))
        return directories[stand_in]

    return make


def picture(width: int, height: int) -> Image:
    pixels = np.random.default_rng(5).integers(0, 255, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    return Image(file.getvalue())


PICTURES = [picture(120, 80), picture(60, 90)]


def opened(part: Part) -> Any:
    """A part as Sentence Transformers takes it."""
    if isinstance(part, Text):
        return {"text": part.text}
    return {"image": Pillow.open(io.BytesIO(part.data)).convert("RGB")}


def together(parts: tuple[Part, ...]) -> Any:
    if all(isinstance(part, Text) for part in parts):
        return " ".join(part.text for part in parts if isinstance(part, Text))
    return {key: value for part in parts for key, value in opened(part).items()}


def trusted(directory: Path) -> dict[str, Any]:
    """Settings that load a directory with its own code, if it has any."""
    return {
        "device": "cpu",
        "dtype": "float32",
        "cache_bytes": 0,
        "trust_remote_code": (f"{directory.name}@{loading.fingerprint(directory)}",),
    }


class Reference:
    """Plain Sentence Transformers on an embedder's directory."""

    def __init__(self, directory: Path) -> None:
        options: dict[str, Any] = {"device": "cpu", "trust_remote_code": True, "model_kwargs": {"dtype": "float32"}}
        self.texts = self.pictures = SentenceTransformer(str(directory), **options)
        if "multilingual" in directory.name:
            self.pictures = SentenceTransformer(str(directory.parent / "clip-ViT-B-32"), **options)
        if "siglip" in type(self.texts.transformers_model).__name__.lower():
            length = self.texts.transformers_model.config.text_config.max_position_embeddings
            self.texts[0].processing_kwargs["text"] = {"padding": "max_length", "max_length": length}

    def vector(self, parts: tuple[Part, ...], task: Task) -> Any:
        model = self.texts if isinstance(parts[0], Text) else self.pictures
        encode = model.encode_query if task is Task.QUERY else model.encode_document
        return encode([together(parts)], normalize_embeddings=True)[0]


@pytest.mark.parametrize("kind", EMBEDDERS)
async def test_vectors_equal_sentence_transformers(kind: str, made: Callable[[StandIn], Path]) -> None:
    directory = made(EMBEDDERS[kind])
    reference = Reference(directory)
    async with running(embedder=str(directory), reranker="none", **trusted(directory)) as engine:
        (info,) = engine.info().models
        parts: list[tuple[Part, ...]] = [(text,) for text in TEXTS]
        if Modality.IMAGE in info.modalities:
            parts += [(each,) for each in PICTURES]
        if "message" in reference.texts.modalities:
            parts += [(TEXTS[0], PICTURES[0])]
        for task in Task:
            (ours,) = await engine.vectorize(
                [Item(each) for each in parts], task=task, priority=Priority.BULK, deadline=time.monotonic() + 60
            )
            expected = [reference.vector(each, task) for each in parts]
            np.testing.assert_allclose(np.stack(list(ours)), expected, atol=TOLERANCE, rtol=0)  # type: ignore[arg-type]
    rows = [row for row in table.ENTRIES if row.name.startswith(EMBEDDERS[kind].models)]
    assert {row.tier for row in rows} == {info.tier}
    assert {frozenset(filter(row.reads, Modality)) for row in rows} == {info.modalities}


@pytest.mark.parametrize("kind", RERANKERS)
async def test_scores_equal_sentence_transformers(kind: str, made: Callable[[StandIn], Path]) -> None:
    directory = made(RERANKERS[kind])
    reference = CrossEncoder(str(directory), device="cpu", trust_remote_code=True, model_kwargs={"dtype": "float32"})
    documents: list[tuple[Part, ...]] = [(text,) for text in TEXTS]
    if "image" in reference.modalities:
        documents += [(PICTURES[0],), (PICTURES[1],), (TEXTS[0], PICTURES[0])]
    expected = [reference.predict([("red", together(each))])[0] for each in documents]
    ours = await scores(directory, documents)
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=0)
    assert len({round(float(score), 7) for score in ours}) == len(documents)


async def scores(directory: Path, documents: list[tuple[Part, ...]]) -> Any:
    async with running(embedder="none", reranker=str(directory), **trusted(directory)) as engine:
        items = [Item(each) for each in documents]
        found = await engine.rerank(Item((Text("red"),)), items, deadline=time.monotonic() + 60)
    return np.array(found, dtype=float)


@pytest.mark.parametrize("name", SIZES)
async def test_a_reranker_without_its_files_is_completed(
    name: str, made: Callable[[StandIn], Path], tmp_path: Path
) -> None:
    whole = made(next(each for each in RERANKERS.values() if entry(name).name.startswith(each.models)))
    bare = texts.language_reranker(tmp_path / name, SIZES[name], template=None)
    documents: list[tuple[Part, ...]] = [(text,) for text in TEXTS]
    np.testing.assert_allclose(await scores(bare, documents), await scores(whole, documents), atol=TOLERANCE, rtol=0)


async def test_a_missing_folder_of_the_answer_is_added(made: Callable[[StandIn], Path], tmp_path: Path) -> None:
    whole, broken = made(RERANKERS["qwen3-vl"]), tmp_path / "Qwen3-VL-Reranker-8B"
    shutil.copytree(whole, broken, ignore=shutil.ignore_patterns("1_LogitScore"))
    documents: list[tuple[Part, ...]] = [(TEXTS[0],), (PICTURES[0],)]
    ours, expected = await scores(broken, documents), await scores(whole, documents)
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
    snapshot = tmp_path / "models--Qwen--Qwen3-Reranker-0.6B" / "snapshots" / commit
    texts.language_reranker(snapshot, SIZES[name], template=None)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(commit)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    async with running(embedder="none", reranker=f"Qwen/{name}", device="cpu", dtype="float32") as engine:
        (info,) = engine.info().models
        found = await engine.rerank(Item((Text("red"),)), [Item((TEXTS[0],))], deadline=time.monotonic() + 60)
    assert (info.name, info.revision) == (f"Qwen/{name}", commit)
    np.testing.assert_allclose(found, await scores(made(RERANKERS["qwen3"]), [(TEXTS[0],)]), atol=TOLERANCE, rtol=0)


async def test_a_language_model_that_cannot_be_told_a_pair_is_refused(tmp_path: Path) -> None:
    somebodys = texts.language_reranker(tmp_path / "somebodys-model", "qwen3", template=None)
    async with running(embedder="none", reranker=str(somebodys), device="cpu") as engine:
        assert "somebodys-model: cannot read a pair of texts" in await engine.failed()


async def test_an_embedder_without_its_files_is_refused_with_the_cure(tmp_path: Path) -> None:
    bare = tmp_path / "Qwen3-VL-Embedding-2B"
    shutil.copytree(bundled.EMBEDDER_DIR, bare, ignore=shutil.ignore_patterns("modules.json"))
    async with running(embedder=str(bare), reranker="none", device="cpu") as engine:
        assert (await engine.failed()).endswith("mean pooling; its revision refs/pr/23 has one")


async def test_a_licence_that_forbids_commerce_is_told_once(
    made: Callable[[StandIn], Path], caplog: pytest.LogCaptureFixture
) -> None:
    loading.tell_licence.cache_clear()
    for kind in ("jina", "jina", "nemotron-rerank"):
        await scores(made(RERANKERS[kind]), [(TEXTS[0],)])
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
