"""What both kinds of Sentence Transformers models share when they are loaded: names, devices, precision, trust."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from tokenizers import Tokenizer
from transformers.image_utils import SizeDict

from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.models import table
from weaviate_prism.models.base import ModelError
from weaviate_prism.models.trust import is_trusted, require_own_code
from weaviate_prism.profiles import ModelSpec, own_name
from weaviate_prism.values import Modality

log = logging.getLogger(__name__)

BUNDLED = {"scenes-embedder": bundled.EMBEDDER_DIR, "scenes-reranker": bundled.RERANKER_DIR}
# Long enough for any published prompt; longer inputs are cut by the model's tokenizer.
MAX_TOKENS = 8192
# What Sentence Transformers calls them.
KINDS = {"SentenceTransformer": "embedder", "CrossEncoder": "reranker"}
# Architectures that Sentence Transformers reads right without its own files: their towers pool by themselves.
SELF_POOLED = ("clip", "siglip", "siglip2")

# Which files a fingerprint is of.
WEIGHTS = ".safetensors", ".bin"
CONFIGURATIONS_AND_CODE = ".json", ".jinja", ".txt", ".model", ".py"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from, and what it is called."""

    name: str  # what clients see and ask for
    location: str  # a directory or a hub id
    revision: str  # 40 hexadecimal digits: the commit on the hub, or the fingerprint of a directory
    trust: bool

    def options(self) -> dict[str, Any]:
        """Keyword arguments for SentenceTransformer(...) and CrossEncoder(...)."""
        options: dict[str, Any] = {"trust_remote_code": self.trust}
        return options if Path(self.location).is_dir() else {**options, "revision": self.revision}

    def folder(self, pattern: str = "*") -> Path:
        """The directory, or where the hub's files whose names match are kept on this machine."""
        place = Path(self.location)
        return place if place.is_dir() else download(self.location, self.revision, pattern)


def download(name: str, revision: str, pattern: str) -> Path:
    """Where files of the hub are kept: in a folder that is named by their commit.

    Raises:
        ModelError: they are neither on the hub nor on this machine, or the hub does not give them.
    """
    found = functools.partial(
        snapshot_download, name, revision=revision or None, cache_dir=cache(), allow_patterns=pattern
    )
    try:
        return Path(found())
    except (OSError, ValueError) as error:  # all that huggingface_hub raises
        try:  # without the hub, version 1.33 does not look for a commit here by itself
            return Path(found(local_files_only=True))
        except (OSError, ValueError):
            raise ModelError(f"{name}: cannot be had from the hub: {error}") from error


def cache() -> str | None:
    """Where Sentence Transformers keeps files of the hub; None: where the hub's client does."""
    return os.environ.get("SENTENCE_TRANSFORMERS_HOME")


def source_of(name: str, revision: str, settings: Settings) -> Source:
    """Resolves a bundled name, a directory or a hub id.

    Raises:
        ModelError: nothing of that name; a directory of another revision; or it is trusted, and takes code from a
            repository that is not.
    """
    directory = BUNDLED.get(name, Path(name))
    location = name
    if directory.is_dir():
        location, found, name = str(directory), fingerprint(directory), own_name(name)
        if revision not in ("", found):
            raise ModelError(f"{name}: is a directory of revision {found} (a digest of its files), not {revision}")
        revision = found
    elif name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"{name!r} is neither bundled ({', '.join(BUNDLED)}), nor a directory, nor a hub id owner/name"
        )
    else:
        revision = download(name, revision, "*.json").name
    source = Source(name, location, revision, is_trusted(name, revision, settings))
    if source.trust:
        require_own_code(name, source.folder("*.json"))
    tell_licence(name)
    return source


@functools.cache  # once for each model
def tell_licence(name: str) -> None:
    """Warns of one that forbids commercial use."""
    entry = table.find(name)
    if entry and entry.noncommercial:
        log.warning("%s may not be used commercially: %s, see %s", name, entry.licence, entry.licence.source)


def require_kind(source: Source, kind: str) -> None:
    """Refuses an embedder in the place of a reranker, and the other way round, where its files tell.

    Raises:
        ModelError
    """
    config = source.folder("*.json") / "config_sentence_transformers.json"
    found = KINDS.get(json.loads(config.read_text()).get("model_type")) if config.is_file() else None
    if found and found != kind:
        raise ModelError(f"{source.name}: is no {kind}; write it as the {found}")


def require_module_list(source: Source) -> None:
    """Refuses what Sentence Transformers would load with mean pooling of its own choice.

    Raises:
        ModelError
    """
    files = source.folder("*.json")
    config = files / "config.json"
    if (files / "modules.json").is_file():
        return
    if config.is_file() and json.loads(config.read_text()).get("model_type") in SELF_POOLED:
        return
    entry = table.find(source.name)
    cure = f"; its revision {entry.revision} has one" if entry and entry.revision.value.startswith("refs/") else ""
    raise ModelError(
        f"{source.name}: has no modules.json, so its pooling is unknown and would silently become mean pooling{cure}"
    )


def require_plain_texts(source: Source, model: Any) -> None:
    """Refuses the first Idefics, whose processor fetches a text that is an address.

    Raises:
        ModelError
    """
    processors = {type(getattr(module, "processor", None)).__name__ for module in model.modules()}
    if "IdeficsProcessor" in processors:  # by name: to import it would need a transformers that still has it
        raise ModelError(f"{source.name}: would fetch what clients write, where that is an address")


def device_of(settings: Settings) -> str:
    """Raises:
    ModelError: CUDA is asked for and not there.
    """
    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise ModelError("device=cuda, but torch finds no CUDA device")
    return "cuda" if available and settings.device != "cpu" else "cpu"


def weights_options(spec: ModelSpec, dtype: torch.dtype) -> dict[str, Any]:
    """What transformers is told when it makes the model: `model_kwargs` of Sentence Transformers."""
    return {"dtype": dtype, **({"attn_implementation": spec.attention} if spec.attention else {})}


def set_pixels(spec: ModelSpec, model: Any) -> None:
    """Gives pictures the budget of the spec, if it has one; what it leaves open is the model's own.

    Set on the processor: as an option of loading, Sentence Transformers hands it on with every picture, deprecated.

    Raises:
        ModelError: the model has no such budget, or is left none.
    """
    if not spec.min_pixels and not spec.max_pixels:
        return
    processor = getattr(getattr(model[0], "processor", None), "image_processor", None)
    size = getattr(processor, "size", None)
    least, most = getattr(size, "shortest_edge", None), getattr(size, "longest_edge", None)  # that is how Qwen has it
    if processor is None or not least or not most:
        raise ModelError(f"{spec.name}: its pictures have no min_pixels and max_pixels")
    least, most = spec.min_pixels or least, spec.max_pixels or most
    if least > most:
        raise ModelError(f"{spec.name}: min_pixels {least} are more than max_pixels {most}")
    processor.size = SizeDict(shortest_edge=least, longest_edge=most)


def modalities_of(model: Any) -> frozenset[Modality]:
    """The modalities that a model reads, alone or in messages."""
    known = {str(modality) for modality in model.modalities if isinstance(modality, str)}
    return frozenset(modality for modality in Modality if modality.value in known)


def fill_texts(model: Any) -> None:
    """Has SigLIP's texts filled up to the length that it was trained with, where its files do not say so."""
    config = getattr(model.transformers_model, "config", None)
    if config is None or config.model_type not in ("siglip", "siglip2"):
        return
    own = model[0].processing_kwargs.get("text", {})
    filled = {"padding": "max_length", "max_length": config.text_config.max_position_embeddings}
    model[0].processing_kwargs["text"] = filled | own


def limit_tokens(model: Any) -> int:
    """The model's own token limit, capped; set on its tokenizer, which then truncates there."""
    if isinstance(tokenizer := getattr(model[0], "tokenizer", None), Tokenizer):
        return _limit_rust(tokenizer)  # of a `StaticEmbedding`, which has no other limit
    own = model.max_seq_length or MAX_TOKENS
    limit = min(int(own), MAX_TOKENS)
    if own != limit:
        model.max_seq_length = limit
    return limit


def _limit_rust(tokenizer: Tokenizer) -> int:
    own = tokenizer.truncation or {"max_length": MAX_TOKENS}
    limit = min(int(own["max_length"]), MAX_TOKENS)
    tokenizer.enable_truncation(**{**own, "max_length": limit})
    return limit


def fingerprint(directory: Path) -> str:
    """Changes with configurations and code, which are read whole, and with weights: size, first and last megabyte."""
    seen = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.suffix in (*CONFIGURATIONS_AND_CODE, *WEIGHTS):
            size = path.stat().st_size
            seen.update(f"{path.relative_to(directory)} {size}".encode())
            with path.open("rb") as file:
                if path.suffix in WEIGHTS:
                    seen.update(file.read(1 << 20))
                    file.seek(max(file.tell(), size - (1 << 20)))
                seen.update(file.read())
    return seen.hexdigest()[:40]
