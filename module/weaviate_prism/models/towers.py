"""Embedders whose texts and pictures are read by two models of their own."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from weaviate_prism.models.facts import Entry
from weaviate_prism.models.loading import Source, fingerprint, revision_of

log = logging.getLogger(__name__)


def with_pictures(
    texts: SentenceTransformer, source: Source, entry: Entry, **options: Any
) -> tuple[SentenceTransformer, str]:
    """One model of both, and its revision. Pictures are read by the model that the table names, from the hub for a
    model of the hub, or from the folder beside a directory; without one, only texts are read.
    """
    location = entry.pictures
    if Path(source.location).is_dir():
        location = str(Path(source.location).resolve().parent / entry.pictures.rpartition("/")[2])
        if not Path(location).is_dir():
            log.warning("%s: reads texts only, for %s is not there", source.name, location)
            return texts, revision_of(source, texts)
    pictures = SentenceTransformer(location, **options)
    kept = Path(location)
    seen = replace(source, location=location, revision=fingerprint(kept) if kept.is_dir() else "")
    router = Router(
        {"text": list(texts), "image": list(pictures)},
        route_mappings={(None, "text"): "text", (None, "image"): "image"},
    )
    both = SentenceTransformer(modules=[router], device=options["device"], prompts=texts.prompts)
    return both, f"{revision_of(source, texts)}+{revision_of(seen, pictures)}"
