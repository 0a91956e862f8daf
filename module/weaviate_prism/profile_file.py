"""The profiles of a service, from its flags and a TOML file; strict, and every mistake is named in plain words.

[profiles.films]                               # the name, as `model` in requests
embedder = "Qwen/Qwen3-VL-Embedding-2B"
query_prompt = "Find the film that is meant."
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec

from weaviate_prism.config import Dtype, Settings, SettingsError
from weaviate_prism.profiles import EMBEDDER, KINDS, RERANKER, ModelSpec, Profile, Profiles
from weaviate_prism.values import MAX_INSTRUCTION_CHARACTERS, Fusion

# Where neither flags nor a file name a model.
BUNDLED = {EMBEDDER: "scenes-embedder", RERANKER: "scenes-reranker"}
# Goes into URLs as it is.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")

_Fusion: TypeAlias = Literal["joint", "mean"]
_Attention: TypeAlias = Literal["eager", "sdpa", "flash_attention_2"]
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
    fusion: _Fusion | None = None
    dtype: Dtype | None = None
    attention: _Attention | None = None
    preload: bool = True


KEYS = _Table.__struct_fields__
CHOICES = {"fusion": get_args(_Fusion), "dtype": get_args(Dtype), "attention": get_args(_Attention)}
FOR_EMBEDDERS = ("query_prompt", "document_prompt", "dimensions", "fusion")


def profiles_of(settings: Settings) -> Profiles:
    """
    Raises:
        SettingsError: naming file, table and key.
    """
    flags = [profile for kind in KINDS if (profile := _of_flag(kind, settings))]
    tables = _read(settings.config) if settings.config else {}
    named = [_of_table(name, table, settings) for name, table in tables.items()]
    if not flags and not named:
        raise SettingsError(f"nothing to serve: {settings.config} has no profiles, and no flag names a model")
    for profile in named:  # else a model's own name might be another profile than one expects
        others = [each for each in (*flags, *named) if each is not profile and each.model.name == profile.name]
        if others:
            whose = f"--{others[0].model.kind}" if others[0] in flags else f"[profiles.{others[0].name}]"
            raise SettingsError(f"{_where(settings, profile.name)}: is what the model of {whose} is called already")
    return Profiles([*flags, *named])


def _of_flag(kind: str, settings: Settings) -> Profile | None:
    """The model itself, without options."""
    source, revision = getattr(settings, kind), getattr(settings, f"{kind}_revision")
    if settings.config and revision and not source:
        raise SettingsError(f"--{kind}-revision needs --{kind}; a model of {settings.config} has its own")
    source = source or ("none" if settings.config else BUNDLED[kind])
    if source == "none":
        return None
    spec = ModelSpec(kind, source, revision, settings.dtype)
    return Profile(spec.name, spec, settings.video_frames)


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


def _of_table(name: str, table: Any, settings: Settings) -> Profile:
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
        model=ModelSpec(
            kind,
            source,
            revision,
            read.dtype or settings.dtype,
            read.min_pixels,
            read.max_pixels,
            read.attention or "",
        ),
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
