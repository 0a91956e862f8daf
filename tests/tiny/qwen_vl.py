"""Qwen3-VL as the bundled pair has it, with the prompts of the published models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from weaviate_prism import bundled

TASK = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."
PARTS = """{%- macro written(parts) -%}{%- for part in parts -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endmacro -%}
{%- set system = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | list -%}
"""
# https://arxiv.org/abs/2601.04720: the instruction is the system message; the vector is that of a padding token at the
# end.
EMBEDDER = f"""{PARTS}
{{{{- '<|im_start|>system\\n' -}}}}
{{{{- written(system[0]) if system else "Represent the user's input." -}}}}
{{{{- '<|im_end|>\\n' -}}}}
{{%- for message in messages if message.role != 'system' -%}}
{{{{- '<|im_start|>' + message.role + '\\n' + written(message.content) + '<|im_end|>\\n' -}}}}
{{%- endfor -%}}
{{{{- '<|im_start|>assistant\\n<|endoftext|>' -}}}}"""
# Of the instruction-tuned models: other roles than these are dropped.
CHAT = f"""{PARTS}
{{%- for message in messages if message.role in ('system', 'user') -%}}
{{{{- '<|im_start|>' + message.role + '\\n' + written(message.content) + '<|im_end|>\\n' -}}}}
{{%- endfor -%}}"""
# https://docs.vllm.ai/projects/vllm-ascend-cn/zh-cn/latest/tutorials/models/Qwen3-VL-Reranker.html
RERANKER = f"""{PARTS}
{{%- set found = namespace(query='', document='') -%}}
{{%- for message in messages -%}}
{{%- if message.role == 'query' -%}}{{%- set found.query = written(message.content) -%}}
{{%- elif message.role == 'document' -%}}{{%- set found.document = written(message.content) -%}}{{%- endif -%}}
{{%- endfor -%}}
{{{{- '<|im_start|>system\\n{TASK}<|im_end|>\\n<|im_start|>user\\n<Instruct>: ' -}}}}
{{{{- written(system[0]) if system else '{INSTRUCTION}' -}}}}
{{{{- '<Query>:' + found.query + '\\n<Document>:' + found.document + '<|im_end|>\\n<|im_start|>assistant\\n' -}}}}"""


def embedder(folder: Path) -> Path:
    whole = Path(shutil.copytree(bundled.EMBEDDER_DIR, folder / "Qwen3-VL-Embedding-2B"))
    (whole / "chat_template.jinja").write_text(EMBEDDER)
    return whole


def reranker(folder: Path) -> Path:
    """With the prompt beside the usual template, and named in the settings of Sentence Transformers."""
    whole = Path(shutil.copytree(bundled.RERANKER_DIR, folder / "Qwen3-VL-Reranker-2B"))
    (whole / "chat_template.jinja").write_text(CHAT)
    (whole / "additional_chat_templates").mkdir()
    (whole / "additional_chat_templates" / "reranker.jinja").write_text(RERANKER)
    file = whole / "sentence_bert_config.json"
    settings = json.loads(file.read_text()) | {"processing_kwargs": {"chat_template": {"chat_template": "reranker"}}}
    file.write_text(json.dumps(settings))
    return whole
