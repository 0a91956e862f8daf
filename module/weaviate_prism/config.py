"""Settings: one field of one frozen dataclass = one flag = one `PRISM_*` variable = one sentence.

A flag wins over its variable, a variable over the default; an empty variable is as good as none. Parsing is
strict: a value that does not fit ends the start with a message naming key and value. A `PRISM_*` variable that
nobody knows gets a warning only, since Kubernetes injects such names for a service called "prism".
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

log = logging.getLogger(__name__)

ENV_PREFIX = "PRISM_"
# Variables of the Go modules in Weaviate's process; they may share an environment file with ours.
FOREIGN_PREFIXES = ("PRISM_MODULE_",)

MIB = 1024 * 1024

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16"]


class SettingsError(ValueError):
    """A flag or variable that does not parse; the message names key and value."""


def setting(default: Any, text: str, *, low: float = -math.inf, high: float = math.inf, secret: bool = False) -> Any:
    """A dataclass field with its help sentence and, for numbers, the range allowed; a secret is never shown."""
    return dataclasses.field(default=default, repr=not secret, metadata={"help": text, "range": (low, high)})


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """All settings of `prism serve`. The README's table is checked against this class by a test."""

    host: str = setting("127.0.0.1", "Address that both servers listen on; 0.0.0.0 for all.")
    http_port: int = setting(8090, "Port of the HTTP doors; 0 picks a free one.", low=0, high=65535)
    grpc_port: int = setting(8091, "Port of the gRPC door; 0 picks a free one.", low=0, high=65535)
    grpc_socket: str = setting(
        "", "Path of a unix socket on which the gRPC door listens as well: mode 0600, without TLS; empty for none."
    )

    api_key: str = setting(
        "",
        "Key that callers must show at both doors; empty asks for none. Set the variable: flags show in process lists.",
        secret=True,
    )
    tls_cert: str = setting("", "PEM file with the gRPC port's certificate and its chain; empty for no TLS.")
    tls_key: str = setting("", "PEM file with the key of that certificate, not encrypted.")
    tls_client_ca: str = setting(
        "", "PEM file with the authorities whose client certificates the gRPC port asks for; empty asks for none."
    )

    config: str = setting("", "TOML file of profiles: models under names of their own, with options; empty for none.")
    embedder: str = setting(
        "",
        "Default embedding model: a bundled name, a directory, a hub id, `fake[:ms_per_batch,ms_per_item]`, or `none`; "
        "empty for the first of the config, without one `scenes-embedder`.",
    )
    embedder_revision: str = setting("", "Commit of the embedder on the hub; empty for its default branch.")
    reranker: str = setting(
        "",
        "Default cross-encoder for reranking, same forms; empty for the first of the config, without one "
        "`scenes-reranker`.",
    )
    reranker_revision: str = setting("", "Commit of the reranker on the hub; empty for its default branch.")
    trust_remote_code: tuple[str, ...] = setting(
        (), "Comma list of `repository@commit` whose own Python code may run; both must match."
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where models run; auto takes CUDA if it is there.")
    dtype: Dtype = setting(  # noqa: RUF009 - as all others; Ruff does not look behind the name of the literal
        "auto",
        "Precision of weights; auto is bfloat16 on GPUs that have it and CPUs with AMX-BF16 or AVX512-BF16, if answers "
        "stay those of float32.",
    )
    decode: Literal["exact", "fast"] = setting(
        "exact",
        "How JPEGs are decoded: fast decodes large ones smaller, in about half the time; vectors then differ a little "
        "(least cosine 0.99997, bundled embedder). Models whose tier is standard stay exact.",
    )

    stock_prompt: Literal["document", "query"] = setting(
        "document", "Prompt for contracts that do not tell queries from documents (bind, clip, OpenAI's)."
    )
    rerank_bad_document: Literal["fail", "last"] = setting(
        "fail", "A document that cannot be scored fails its request, or is ranked last, logged and counted."
    )
    rerank_logits: bool = setting(False, "Return the cross-encoder's logits instead of its activated scores.")

    request_timeout: float = setting(
        50.0, "Seconds to answer a caller who sets no deadline; Weaviate gives up after 50.", low=0.1
    )
    drain_timeout: float = setting(30.0, "Seconds that a first SIGTERM leaves to work in flight.", low=0)
    batch_cost: int = setting(
        0,
        "Most tokens plus patches in one device batch, padding included, for its memory; on a CPU, one of queries may "
        "run beside one of inserts. Its time is learnt; 0 chooses by device.",
        low=0,
    )
    cache_bytes: int = setting(
        256 * MIB, "Bytes of memory for embeddings of content seen before; 0 turns it off.", low=0
    )
    vision_cache_bytes: int = setting(
        256 * MIB, "Bytes on the device for pictures and clips that a reranker has seen before; 0 turns it off.", low=0
    )

    media_store: str = setting(
        "", "Directory that keeps the media of blobHash properties, so that they can be reranked; empty keeps none."
    )
    media_store_bytes: int = setting(
        10 * 1024 * MIB, "Disk space for them; what was not used for longest makes room.", low=1
    )

    max_request_bytes: int = setting(256 * MIB, "Largest HTTP body or gRPC message.", low=1)
    max_items: int = setting(10_000, "Most parts, documents, or items times targets in one request.", low=1)
    max_queue: int = setting(20_000, "Most items waiting in the service; more are refused.", low=1)
    max_queue_bytes: int = setting(
        2048 * MIB, "Most bytes of HTTP bodies and gRPC messages in the service at once.", low=1
    )
    max_text_bytes: int = setting(256 * 1024, "Longest text; the model itself cuts at its own token limit.", low=1)
    max_image_bytes: int = setting(32 * MIB, "Largest encoded picture.", low=1)
    max_image_pixels: int = setting(7680 * 4320, "Largest picture, width times height.", low=1)
    max_video_bytes: int = setting(128 * MIB, "Largest encoded clip.", low=1)
    max_video_pixels: int = setting(3840 * 2160, "Largest frame of a clip, width times height.", low=1)
    max_video_seconds: int = setting(600, "Longest clip.", low=1)
    max_video_frames: int = setting(36_000, "Most frames in a clip: 10 minutes at 60 a second.", low=1)
    video_frames: int = setting(8, "Frames taken from a clip, spread evenly; must be even.", low=2)

    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "How much is logged.")

    def __post_init__(self) -> None:
        if self.video_frames % 2:
            raise SettingsError(f"--video-frames: must be even (models pair frames), not {self.video_frames}")
        if self.embedder == self.reranker == "none" and not self.config:
            raise SettingsError("nothing to serve: --embedder and --reranker are both none")
        if bool(self.tls_cert) != bool(self.tls_key):
            given, lacking = ("--tls-cert", "--tls-key") if self.tls_cert else ("--tls-key", "--tls-cert")
            raise SettingsError(f"{given} needs {lacking}")
        if self.tls_client_ca and not self.tls_cert:
            raise SettingsError("--tls-client-ca needs --tls-cert and --tls-key")
        if not re.fullmatch("[!-~]*", self.api_key):  # what fits into a header; not shown, it is a secret
            raise SettingsError("--api-key: must be printable ASCII without spaces or line ends")
        for trusted in self.trust_remote_code:
            if not re.fullmatch("[^@]+@[0-9a-f]{40}", trusted):  # a branch may hold other code tomorrow
                raise SettingsError(f"--trust-remote-code: must be repository@commit (40 hex digits), not {trusted!r}")

    def limits(self) -> dict[str, int]:
        """The limits that clients should know, by setting name."""
        return {f.name: int(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name.startswith("max_")}


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def env_of(name: str) -> str:
    return ENV_PREFIX + name.upper()


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag per field; values stay text here, so that flags and variables parse alike."""
    for field in dataclasses.fields(Settings):
        sentence = f"{field.metadata['help']} [{env_of(field.name)}, default: {show(field.default)}]"
        # a flag of a boolean may stand alone
        alone: dict[str, Any] = {"nargs": "?", "const": "true"} if isinstance(field.default, bool) else {}
        parser.add_argument(
            flag_of(field.name), dest=field.name, metavar=kind_of(field.name), help=sentence.replace("%", "%%"), **alone
        )


def load(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
    """Settings from parsed flags and the environment.

    Raises:
        SettingsError: a value does not parse; the message names its key and the value.
    """
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    warn_unknown(environ, fields)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        flag = flags.get(name)
        # compose files write an empty variable for one that is not set
        text, key = (flag, flag_of(name)) if flag is not None else (environ.get(env_of(name)) or None, env_of(name))
        if text is not None:
            values[name] = parse(text, key, _types()[name], field.metadata["range"])
    return Settings(**values)


def warn_unknown(environ: Mapping[str, str], known: Mapping[str, object]) -> None:
    names = {env_of(name) for name in known}
    for key in sorted(environ):
        if key.startswith(ENV_PREFIX) and key not in names and not key.startswith(FOREIGN_PREFIXES):
            log.warning("%s is not a setting of Prism; it is ignored", key)


def parse(text: str, key: str, kind: Any, limits: tuple[float, float]) -> Any:
    """One value of the wanted type; never guesses.

    Raises:
        SettingsError: naming `key` and `text`.
    """
    origin = typing.get_origin(kind)
    if origin is Literal:
        choices = typing.get_args(kind)
        if text not in choices:
            raise SettingsError(f"{key}: must be one of {', '.join(choices)}, not {text!r}")
        return text
    if origin is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        return _parse_bool(text, key)
    if kind in (int, float):
        return _parse_number(text, key, kind, limits)
    return text


def _parse_bool(text: str, key: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise SettingsError(f"{key}: must be true or false, not {text!r}")
    return values[text.lower()]


def _parse_number(text: str, key: str, kind: type[int] | type[float], limits: tuple[float, float]) -> int | float:
    try:
        number = kind(text)
    except ValueError:
        noun = "a whole number" if kind is int else "a number"
        raise SettingsError(f"{key}: must be {noun}, not {text!r}") from None
    low, high = limits
    # a comparison that also refuses nan
    if not low <= number <= high or math.isinf(number):
        bounds = f"at least {low:g} and finite" if math.isinf(high) else f"between {low:g} and {high:g}"
        raise SettingsError(f"{key}: must be {bounds}, not {text!r}")
    return number


def kind_of(name: str) -> str:
    """How the help names the values of a field: `INT`, `auto|cpu|cuda`, ..."""
    kind = _types()[name]
    if typing.get_origin(kind) is Literal:
        return "|".join(typing.get_args(kind))
    return "LIST" if typing.get_origin(kind) is tuple else str(kind.__name__).upper()


def show(default: object) -> str:
    """A default as one would type it."""
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)


def _types() -> Mapping[str, Any]:
    return typing.get_type_hints(Settings)


def parse_command(argv: Sequence[str], environ: Mapping[str, str], prog: str = "prism serve") -> Settings:
    """Settings from a command line and the environment."""
    parser = argparse.ArgumentParser(prog=prog, allow_abbrev=False)
    add_flags(parser)
    return load(vars(parser.parse_args(argv)), environ)
