"""Texts over a model's limit: a faster way is taken only where it keeps the tokens that Sentence Transformers keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer

from stand_ins import RERANKERS, StandIn
from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.models import reranker
from weaviate_prism.models.causal_lm import CausalLM
from weaviate_prism.models.heads import pooled, yes_or_no
from weaviate_prism.models.qwen_vl import QwenVL
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.profiles import ModelSpec

LIMIT = 300
REASON = f"cuts texts over {LIMIT} tokens in another way"
FOUND = (
    "{%- set found = namespace(system='', query='', document='') -%}{%- for m in messages -%}"
    "{%- if m.role == 'system' -%}{%- set found.system = m.content -%}"
    "{%- elif m.role == 'query' -%}{%- set found.query = m.content -%}"
    "{%- else -%}{%- set found.document = m.content -%}{%- endif -%}{%- endfor -%}"
)
Change = Callable[[Any], None]


def written(text: str) -> Change:
    """By a template of `text`, in which all three kinds of messages are strings."""

    def change(model: Any) -> None:
        model[0].processor.chat_template = f"{FOUND}<|im_start|>{text}<|im_end|>yes?"

    return change


def cut_at_the_start(model: Any) -> None:
    model[0].tokenizer.truncation_side = "left"


def with_shorter_documents(model: Any) -> None:
    model[0].document_length = 100


def with_longer_queries(model: Any) -> None:
    model[0].query_length = LIMIT + 1


def cut_by_the_template(model: Any) -> None:
    model[0].processing_kwargs = {"chat_template": {"max_length": 100}}


def left_whole(model: Any) -> None:
    model[0].processing_kwargs = {"chat_template": {"truncation": False}}


in_order = written("{{ found.system }}: {{ found.query }}; {{ found.document }}")
with_the_prompt_last = written("{{ found.query }}; {{ found.document }}\n{{ found.system }}")
with_the_query_last = written("{{ found.system }}: {{ found.document }}\n{{ found.query }}")
escaped = written("{{ found.system }}: {{ found.query }}; {{ found.document | tojson(ensure_ascii=true) }}")


def limited(model: Any, change: Change) -> Any:
    model.max_seq_length = LIMIT
    change(model)
    return model


@pytest.fixture
def directory(made: Callable[[StandIn], Path]) -> Path:
    return made(RERANKERS["qwen3"])


def test_texts_that_are_cut_alike_are_computed_the_faster_way(directory: Path) -> None:
    assert CausalLM(limited(CrossEncoder(str(directory), device="cpu"), in_order), yes_or_no, LIMIT)


@pytest.mark.parametrize(
    "change", [cut_at_the_start, cut_by_the_template, left_whole, with_the_prompt_last, with_the_query_last, escaped]
)
def test_pairs_that_are_cut_otherwise_are_left_to_sentence_transformers(directory: Path, change: Change) -> None:
    with pytest.raises(NotApplicable, match=REASON):
        CausalLM(limited(CrossEncoder(str(directory), device="cpu"), change), yes_or_no, LIMIT)


@pytest.mark.parametrize(
    "change", [cut_at_the_start, cut_by_the_template, left_whole, with_shorter_documents, with_longer_queries]
)
def test_texts_that_are_cut_otherwise_are_left_to_sentence_transformers(change: Change) -> None:
    with pytest.raises(NotApplicable, match=REASON):
        QwenVL(limited(SentenceTransformer(str(bundled.EMBEDDER_DIR), device="cpu"), change), pooled, LIMIT)


def test_a_model_that_cuts_at_the_start_is_served(directory: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(directory, tmp_path / "changed"))
    file = changed / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"truncation_side": "left", "model_max_length": LIMIT}))
    model = reranker.load(ModelSpec("reranker", str(changed), dtype="float32"), Settings(device="cpu"))
    assert (model.info.tier, model.info.refused_tiers) == ("standard", ())
    theirs = CrossEncoder(str(changed), device="cpu", model_kwargs={"dtype": "float32"})
    document = "quarterly revenue " * LIMIT
    (score,) = model.forward([model.prepare(model.asked(["red"], ""), [document])])
    assert score == pytest.approx(float(theirs.predict([("red", document)])[0]), abs=1e-5)
