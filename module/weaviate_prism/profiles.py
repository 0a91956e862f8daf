"""Profiles: models under names, and how each is asked; one namespace for `model` in requests.

Knows neither where profiles are written down nor loaded models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weaviate_prism.config import Dtype
from weaviate_prism.errors import InvalidInput, NotFound, Unsupported
from weaviate_prism.values import Fusion, Task

EMBEDDER, RERANKER = KINDS = ("embedder", "reranker")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is loaded once, however many profiles use it."""

    kind: str  # "embedder" | "reranker"
    source: str  # as the operator wrote it: a bundled name, a directory, a hub id or a fake
    revision: str = ""
    dtype: Dtype = "auto"
    # of a picture as the model sees it, width times height; 0: the model's own. Fixed when its processor is loaded.
    min_pixels: int = 0
    max_pixels: int = 0
    attention: str = ""  # which implementation of it; empty: what is fastest
    name: str = field(init=False, compare=False)  # its own

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", own_name(self.source))


@dataclass(frozen=True, slots=True)
class Profile:
    """A model under a name of its own, and what requests get that do not say otherwise."""

    name: str
    model: ModelSpec
    video_frames: int
    instruction: str = ""
    query_prompt: str = ""
    document_prompt: str = ""
    dimensions: int = 0  # 0: the model's own
    fusion: Fusion | None = None  # None: the model's own
    preload: bool = True

    def prompt(self, task: Task) -> str:
        """What replaces the model's own prompt; empty where the profile leaves it."""
        return {Task.QUERY: self.query_prompt, Task.DOCUMENT: self.document_prompt}[task] or self.instruction


class Profiles:
    """All profiles of a service, by precedence: that of `--embedder`, of `--reranker`, then those of the file.

    Each has its name. A model's own name, too, stands for the first profile that uses it. What is loaded at the start
    goes before what is not.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._profiles = profiles
        self._by_name: dict[str, list[Profile]] = {}
        self._by_model: dict[str, list[Profile]] = {}
        for profile in profiles:
            self._by_name.setdefault(profile.name, []).append(profile)
            self._by_model.setdefault(profile.model.name, []).append(profile)
        self.preloaded = frozenset(profile.model for profile in profiles if profile.preload)
        self._labels = {spec: self._label(spec) for spec in self.specs()}

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._profiles)

    def find(self, name: str, kind: str = "") -> Profile:
        """The profile of that name and kind (empty: of any).

        An empty name is the default of the kind: the first profile whose model is loaded at the start, if any is.

        Raises:
            NotFound: no profile or model has that name.
            InvalidInput: it is one of the other kind.
            Unsupported: there is none of that kind at all.
        """
        of_kind = self._of_kind(self._profiles, kind)
        if not of_kind:
            raise Unsupported(f"no {kind} is loaded (setting `{kind}`)")
        if not name:
            return self._first(of_kind)
        named = [*self._by_name.get(name, ()), *self._by_model.get(name, ())]
        known = ", ".join(dict.fromkeys(repr(profile.name) for profile in of_kind))
        if not named:
            raise NotFound(f"model {name!r} is not known; known are {known}")
        if not (fitting := self._of_kind(named, kind)):
            raise InvalidInput(f"model {name!r} is no {kind}; {kind}s are {known}")
        return self._first(fitting)

    def defaults(self) -> list[Profile]:
        """That of each kind that there is."""
        return [self._first(some) for kind in KINDS if (some := self._of_kind(self._profiles, kind))]

    def specs(self) -> list[ModelSpec]:
        """Each model once, by precedence of its profiles; the defaults' before all others."""
        return list(dict.fromkeys(profile.model for profile in (*self.defaults(), *self._profiles)))

    def label(self, spec: ModelSpec) -> str:
        """The model's own name; where another of its kind has it already, with a profile to tell them apart."""
        return self._labels[spec]

    def _label(self, spec: ModelSpec) -> str:
        if spec == next(each for each in self.specs() if (each.kind, each.name) == (spec.kind, spec.name)):
            return spec.name
        return f"{spec.name} ({next(profile.name for profile in self if profile.model == spec)})"

    def _of_kind(self, some: Sequence[Profile], kind: str) -> list[Profile]:
        return [profile for profile in some if kind in ("", profile.model.kind)]

    def _first(self, some: Sequence[Profile]) -> Profile:
        return next((profile for profile in some if profile.model in self.preloaded), some[0])


def own_name(source: str) -> str:
    """What a model is called where nobody names it: a directory's last name, else the source without options."""
    if is_fake(source):
        return "fake"
    return Path(source).resolve().name if Path(source).is_dir() else source


def is_fake(source: str) -> bool:
    return source == "fake" or source.startswith("fake:")
