"""Files that Sentence Transformers needs and a reranker's repository lacks, put beside links to those that it has.

So the model is read by Sentence Transformers as ever, and repaired where the table of models says how.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from weaviate_prism.models import table
from weaviate_prism.models.base import ModelError
from weaviate_prism.models.facts import Entry
from weaviate_prism.models.loading import Source

HEAD = "1_LogitScore"
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
    {
        "idx": 1,
        "name": "1",
        "path": HEAD,
        "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore",
    },
]
TRANSFORMER = {
    "transformer_task": "text-generation",
    "modality_config": {
        "text": {"method": "forward", "method_output_name": "logits"},
        "message": {"method": "forward", "method_output_name": "logits", "format": "flat"},
    },
    "module_output_name": "causal_logits",
}


@contextlib.contextmanager
def completed(source: Source) -> Iterator[Source]:
    """The source itself, or as long as the context lasts a folder that has all of it and what it lacks.

    Raises:
        ModelError: something is missing that the table of models does not know.
    """
    files = _missing(source, table.find(source.name))
    if not files:
        yield source
        return
    whole = source.folder()
    with tempfile.TemporaryDirectory(prefix="prism-model-") as place:
        for file in whole.rglob("*"):
            if file.is_file() and str(file.relative_to(whole)) not in files:
                _place(place, file.relative_to(whole)).symlink_to(file.resolve())
        for name, content in files.items():
            _place(place, Path(name)).write_text(content)
        yield replace(source, location=place)


def _place(folder: str, name: Path) -> Path:
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _missing(source: Source, entry: Entry | None) -> dict[str, str]:
    """Contents of the missing files by their names."""
    known = source.folder("*.json")
    modules = known / "modules.json"
    if not modules.is_file():
        return _all_files(source, entry) if entry and entry.template else {}
    heads = [each["path"] for each in json.loads(modules.read_text()) if each["type"].endswith(".LogitScore")]
    lost = [path for path in heads if path == Path(path).name and not (known / path / "config.json").is_file()]
    if lost and not (entry and entry.answers):
        raise ModelError(f"{source.name}: modules.json names {lost[0]}, which is not there")
    return {f"{path}/config.json": _head(source, entry) for path in lost if entry}


def _all_files(source: Source, entry: Entry) -> dict[str, str]:
    model: dict[str, Any] = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"}
    return {
        "modules.json": json.dumps(MODULES),
        "sentence_bert_config.json": json.dumps(TRANSFORMER),
        "config_sentence_transformers.json": json.dumps(model | {"prompts": {}, "default_prompt_name": None}),
        "chat_template.jinja": resources.files(__package__).joinpath("templates", entry.template).read_text(),
        f"{HEAD}/config.json": _head(source, entry),
    }


def _head(source: Source, entry: Entry) -> str:
    """The configuration of LogitScore."""
    tokenizer = AutoTokenizer.from_pretrained(source.folder())
    ids = tokenizer.convert_tokens_to_ids(list(entry.answers or ()))
    if None in ids or tokenizer.unk_token_id in ids:
        raise ModelError(f"{source.name}: its tokenizer lacks one of the tokens {entry.answers}")
    return json.dumps({"true_token_id": ids[0], "false_token_id": ids[1], "module_input_name": "causal_logits"})
