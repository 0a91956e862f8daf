"""Profiles: which model under which name, and how it is asked. From the flags and a TOML file, read strictly.

    [profiles.film]                                # the name, as `model` in requests
    embedder = "Qwen/Qwen3-VL-Embedding-2B"
    query_prompt = "Find the film that is meant."

Knows nothing of loaded models or requests.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec

from weaviate_prism.config import Dtype, Settings, SettingsError
from weaviate_prism.errors import InvalidInput, NotFound, Unsupported
from weaviate_prism.values import MAX_INSTRUCTION_CHARACTERS, Fusion, Task

EMBEDDER, RERANKER = KINDS = ("embedder", "reranker")
# Where neither flags nor a file name a model.
BUNDLED = {EMBEDDER: "scenes-embedder", RERANKER: "scenes-reranker"}
# Goes into URLs as it is.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
FUSIONS = Literal["joint", "mean"]


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

    Each has its name. A model's own name, too, stands for the first profile that uses it.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._profiles = profiles
        self._by_name: dict[str, list[Profile]] = {}
        self._by_model: dict[str, list[Profile]] = {}
        for profile in profiles:
            self._by_name.setdefault(profile.name, []).append(profile)
            self._by_model.setdefault(own_name(profile.model.source), []).append(profile)
        self.preloaded = frozenset(profile.model for profile in profiles if profile.preload)

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
        named = self._by_name.get(name) or self._by_model.get(name)
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
        name = own_name(spec.source)
        first = next(each for each in self.specs() if each.kind == spec.kind and own_name(each.source) == name)
        if first == spec:
            return name
        return f"{name} ({next(profile.name for profile in self if profile.model == spec)})"

    def _of_kind(self, some: Sequence[Profile], kind: str) -> list[Profile]:
        return [profile for profile in some if kind in ("", profile.model.kind)]

    def _first(self, some: Sequence[Profile]) -> Profile:
        return next((profile for profile in some if profile.model in self.preloaded), some[0])


def profiles_of(settings: Settings) -> Profiles:
    """
    Raises:
        SettingsError: naming file, table and key.
    """
    flags = []
    for kind in KINDS:
        source = getattr(settings, kind) or ("none" if settings.config else BUNDLED[kind])
        if source != "none":
            spec = ModelSpec(kind, source, getattr(settings, f"{kind}_revision"), settings.dtype)
            flags.append(Profile(own_name(source), spec, settings.video_frames))
    tables = _read(settings.config) if settings.config else {}
    profiles = [*flags, *(_profile(name, table, settings) for name, table in tables.items())]
    if not profiles:
        raise SettingsError(f"nothing to serve: {settings.config} has no profiles, and no flag names a model")
    for profile in profiles[len(flags) :]:  # else a model's own name might be another profile than one expects
        others = [each for each in profiles if each is not profile and own_name(each.model.source) == profile.name]
        if others:
            whose = f"--{others[0].model.kind}" if others[0] in flags else f"[profiles.{others[0].name}]"
            raise SettingsError(f"{_where(settings, profile.name)}: is what the model of {whose} is called already")
    return Profiles(profiles)


def own_name(source: str) -> str:
    """What a model is called where nobody names it: a directory's last name, else the source without options."""
    if is_fake(source):
        return "fake"
    return Path(source).resolve().name if Path(source).is_dir() else source


def is_fake(source: str) -> bool:
    return source == "fake" or source.startswith("fake:")


# -- the file -----------------------------------------------------------------------------------

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
_Prompt: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_INSTRUCTION_CHARACTERS)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
_Even: TypeAlias = Annotated[int, msgspec.Meta(ge=2, le=2**31, multiple_of=2)]


class _Table(msgspec.Struct):
    """`[profiles.NAME]`; what is left out has its default."""

    embedder: _Text = ""
    reranker: _Text = ""
    revision: _Text = ""
    instruction: _Prompt = ""
    query_prompt: _Prompt = ""
    document_prompt: _Prompt = ""
    dimensions: _Count = 0
    min_pixels: _Count = 0
    max_pixels: _Count = 0
    video_frames: _Even = 0
    fusion: FUSIONS | None = None
    dtype: Dtype | None = None
    preload: bool = True


KEYS = _Table.__struct_fields__
CHOICES = {"fusion": get_args(FUSIONS), "dtype": get_args(Dtype)}
FOR_EMBEDDERS = ("query_prompt", "document_prompt", "dimensions", "fusion")


def _read(file: str) -> dict[str, Any]:
    """The tables by name.

    Raises:
        SettingsError
    """
    try:
        content = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--config: {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{file}: is not TOML: {error}") from None
    for key, value in content.items():
        if key != "profiles" or not isinstance(value, dict):
            raise SettingsError(f"{file}: {key}: is not known here; there are only tables [profiles.NAME]")
    tables: dict[str, Any] = content.get("profiles", {})
    return tables


def _profile(name: str, table: Any, settings: Settings) -> Profile:
    where = _where(settings, name)
    if not NAME.fullmatch(name):
        raise SettingsError(f"{where}: a name has up to 64 of A-Z, a-z, 0-9 and . _ ~ -, first a letter or digit")
    if "context" in name.lower():  # Weaviate's voyageai module then expects Voyage's contextual answers
        raise SettingsError(f"{where}: a name may not contain `context`, which Weaviate's voyageai module acts on")
    read = _checked(where, table)
    kind = EMBEDDER if read.embedder else RERANKER
    source = read.embedder or read.reranker
    same = source == getattr(settings, kind)
    revision = read.revision or (getattr(settings, f"{kind}_revision") if same else "")
    return Profile(
        name=name,
        model=ModelSpec(kind, source, revision, read.dtype or settings.dtype, read.min_pixels, read.max_pixels),
        video_frames=read.video_frames or settings.video_frames,
        instruction=read.instruction,
        query_prompt=read.query_prompt,
        document_prompt=read.document_prompt,
        dimensions=read.dimensions,
        fusion=Fusion(read.fusion) if read.fusion else None,
        preload=read.preload,
    )


def _checked(where: str, table: Any) -> _Table:
    if not isinstance(table, dict):
        raise SettingsError(f"{where}: must be a table")
    for key in table:
        if key not in KEYS:
            raise SettingsError(f"{where} {key}: is not known; a profile may have {', '.join(KEYS)}")
    try:
        read = msgspec.convert(table, _Table)
    except msgspec.ValidationError as error:
        wanted, _, key = str(error).partition(" - at `$.")
        key = key.rstrip("`")
        raise SettingsError(f"{where} {key}: must be {_plain(wanted, key)}, not {table[key]!r:.100}") from None
    if bool(read.embedder) == bool(read.reranker):
        raise SettingsError(f"{where}: must have exactly one of embedder and reranker")
    if read.reranker and (wrong := [key for key in FOR_EMBEDDERS if key in table]):
        raise SettingsError(f"{where} {wrong[0]}: is for embedders only")
    if read.max_pixels and read.min_pixels > read.max_pixels:
        raise SettingsError(f"{where} min_pixels: {read.min_pixels} are more than max_pixels, {read.max_pixels}")
    return read


def _plain(wanted: str, key: str) -> str:
    """What msgspec says of a value, in words for people who never saw its types."""
    if key in CHOICES:
        return f"one of {', '.join(CHOICES[key])}"
    wanted = wanted.partition(", got ")[0].removeprefix("Expected ")
    for kind, word in {"`str`": "text", "`int`": "a whole number", "`bool`": "true or false"}.items():
        wanted = wanted.replace(kind, word)
    return wanted


def _where(settings: Settings, name: str) -> str:
    return f"{settings.config}: [profiles.{name}]"
