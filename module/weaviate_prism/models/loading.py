"""What both kinds of Sentence Transformers models share when they are loaded: names, devices, precision, trust."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.util import is_sentence_transformer_model
from transformers.image_utils import SizeDict

from weaviate_prism import bundled
from weaviate_prism.config import Dtype, Settings
from weaviate_prism.models.base import ModelError
from weaviate_prism.profiles import ModelSpec, own_name
from weaviate_prism.values import Modality

BUNDLED = {"scenes-embedder": bundled.EMBEDDER_DIR, "scenes-reranker": bundled.RERANKER_DIR}
# Long enough for any published prompt; longer inputs are cut by the model's tokenizer.
MAX_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from, and what it is called."""

    name: str  # what clients see and ask for
    location: str  # a directory or a hub id
    revision: str
    trust: bool

    def options(self) -> dict[str, Any]:
        """Keyword arguments for SentenceTransformer(...) and CrossEncoder(...)."""
        options: dict[str, Any] = {"trust_remote_code": self.trust}
        if self.revision and not Path(self.location).is_dir():
            options["revision"] = self.revision
        return options


def source_of(name: str, revision: str, settings: Settings) -> Source:
    """Resolves a bundled name, a directory or a hub id.

    Raises:
        ModelError: a directory without Sentence Transformers' module list, which would silently become
            mean pooling (`embedder`), or nothing of that name.
    """
    directory = BUNDLED.get(name, Path(name))
    trust = f"{name}@{revision}" in settings.trust_remote_code
    if directory.is_dir():
        return Source(own_name(name), str(directory), _fingerprint(directory), trust)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"{name!r} is neither bundled ({', '.join(BUNDLED)}), nor a directory, nor a hub id owner/name"
        )
    return Source(name, name, revision, trust)


def require_module_list(source: Source) -> None:
    """Refuses what Sentence Transformers would load with mean pooling of its own choice.

    Raises:
        ModelError
    """
    if not is_sentence_transformer_model(source.location, revision=source.options().get("revision")):
        raise ModelError(
            f"{source.name}: has no modules.json, so its pooling is unknown and would silently become mean pooling"
        )


def device_of(settings: Settings) -> str:
    """Raises:
    ModelError: CUDA is asked for and not there.
    """
    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise ModelError("device=cuda, but torch finds no CUDA device")
    return "cuda" if available and settings.device != "cpu" else "cpu"


def dtype_of(wanted: Dtype, device: str) -> torch.dtype:
    if wanted == "auto":
        return torch.bfloat16 if device == "cuda" else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


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


def limit_tokens(model: Any) -> int:
    """The model's own token limit, capped; set on its tokenizer, which then truncates there."""
    own = model.max_seq_length or MAX_TOKENS
    limit = min(int(own), MAX_TOKENS)
    if own != limit:
        model.max_seq_length = limit
    return limit


def revision_of(source: Source, model: Any) -> str:
    """The commit that was loaded, or a fingerprint of the directory."""
    config = getattr(model.transformers_model, "config", None)
    return source.revision or getattr(config, "_commit_hash", None) or ""


def _fingerprint(directory: Path) -> str:
    """Changes with any file: configurations whole, weights by size and their first and last megabyte."""
    seen = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".bin", ".jinja", ".txt", ".model"):
            seen.update(f"{path.relative_to(directory)} {path.stat().st_size}".encode())
            with path.open("rb") as file:
                seen.update(file.read(1 << 20))
                file.seek(max(0, path.stat().st_size - (1 << 20)))
                seen.update(file.read())
    return seen.hexdigest()[:12]
