"""What a check has found out, and the cure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How bad it is."""

    GREEN = "green"  # as it should be
    YELLOW = "yellow"  # may be meant, or cannot be told from outside
    RED = "red"  # something fails, or is silently wrong


class Check(enum.StrEnum):
    """What was looked at; the README has a table."""

    READY = "ready"
    GPU = "gpu"
    FFMPEG = "ffmpeg"
    TIMEOUTS = "timeouts"
    MODULES = "modules"
    VALIDATE_BASE_URL = "validate-base-url"
    VECTORIZER = "vectorizer"
    RERANKER = "reranker"
    BASE_URL = "base-url"
    PROFILE = "profile"
    FIELDS = "fields"
    CLASS_NAME = "vectorize-class-name"
    BLOB_HASH = "blob-hash"
    WITHOUT_VECTOR = "without-vector"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    check: Check
    about: str  # "Prism", "Weaviate", a collection, or a collection's vector: "Film.looks"
    says: str
    cure: str = ""  # nothing where all is well


def green(check: Check, about: str, says: str) -> Finding:
    return Finding(Level.GREEN, check, about, says)


def yellow(check: Check, about: str, says: str, cure: str) -> Finding:
    return Finding(Level.YELLOW, check, about, says, cure)


def red(check: Check, about: str, says: str, cure: str) -> Finding:
    return Finding(Level.RED, check, about, says, cure)
