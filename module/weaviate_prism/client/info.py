"""What the service tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weaviate_prism.v1 import prism_pb2 as pb

NAMES = {pb.MODALITY_TEXT: "text", pb.MODALITY_IMAGE: "image", pb.MODALITY_VIDEO: "video"}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that the service has loaded."""

    name: str
    kind: str  # "embedder" | "reranker"
    revision: str
    modalities: tuple[str, ...]  # text, image, video; and message, where it reads several parts as one
    dimensions: int  # 0 for rerankers
    max_tokens: int
    dtype: str
    device: str
    decode: str  # how large JPEGs are decoded: "exact" or "fast"
    tier: str  # how it is computed: "standard" is Sentence Transformers' way
    dtype_note: str  # how near bfloat16 is to float32, or why it was not taken; empty where nobody compared

    def supports(self, modality: str | tuple[str, ...]) -> bool:
        """Whether it reads a modality, or several in one input, as `SentenceTransformer.supports` tells."""
        if isinstance(modality, str):
            return modality in self.modalities
        return {*modality, "message"} <= set(self.modalities)


@dataclass(frozen=True, slots=True)
class Profile:
    """What `model` of a verb may name."""

    name: str
    kind: str  # "embedder" | "reranker"
    model: str  # the model's own name
    loaded: bool  # else the first call that names it waits for that
    default: bool  # for calls that name none
    dimensions: int  # 0: the model's own


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A service, its loaded models, its profiles, and its limits by the name of the setting."""

    version: str
    ready: bool
    models: tuple[LoadedModel, ...]
    profiles: tuple[Profile, ...]
    limits: Mapping[str, int]


def info_of(response: pb.InfoResponse) -> ServiceInfo:
    return ServiceInfo(
        version=response.version,
        ready=response.ready,
        models=tuple(map(_model, response.models)),
        profiles=tuple(map(_profile, response.profiles)),
        limits=dict(response.limits),
    )


def _profile(message: pb.Profile) -> Profile:
    return Profile(
        name=message.name,
        kind=message.kind,
        model=message.model,
        loaded=message.loaded,
        default=message.default,
        dimensions=message.dimensions,
    )


def _model(message: pb.Model) -> LoadedModel:
    modalities = tuple(NAMES[modality] for modality in message.modalities if modality in NAMES)
    return LoadedModel(
        name=message.name,
        kind=message.kind,
        revision=message.revision,
        modalities=(*modalities, "message") if message.joint else modalities,
        dimensions=message.dimensions,
        max_tokens=message.max_tokens,
        dtype=message.dtype,
        device=message.device,
        decode=message.decode,
        tier=message.tier,
        dtype_note=message.dtype_note,
    )
