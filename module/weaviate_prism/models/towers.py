"""Embedders whose texts and pictures are read by two models of their own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from weaviate_prism.models.facts import Entry
from weaviate_prism.models.loading import Source, download, fingerprint
from weaviate_prism.models.memory import check_room

log = logging.getLogger(__name__)


def with_pictures(
    texts: SentenceTransformer, source: Source, entry: Entry, **options: Any
) -> tuple[SentenceTransformer, str]:
    """One model of both, and its revision. Pictures are read by the model that the table names, from the hub for a
    model of the hub, or from the folder beside a directory; without one, only texts are read.

    Raises:
        ModelError: see `models.memory`; or the hub does not give the other one.
    """
    location = entry.pictures
    if Path(source.location).is_dir():
        beside = Path(source.location).resolve().with_name(entry.pictures.rpartition("/")[2])
        if not beside.is_dir():
            log.warning("%s: reads texts only, for %s is not there", source.name, beside)
            return texts, source.revision
        location, revision = str(beside), fingerprint(beside)
    else:
        revision = download(location, "", "*.json").name
        options["revision"] = revision
    check_room(entry.pictures, location, revision, options["model_kwargs"]["dtype"], options["device"])
    pictures = SentenceTransformer(location, **options)
    router = Router(
        {"text": list(texts), "image": list(pictures)},
        route_mappings={(None, "text"): "text", (None, "image"): "image"},
    )
    both = SentenceTransformer(modules=[router], device=options["device"], prompts=texts.prompts)
    return both, f"{source.revision}+{revision}"
