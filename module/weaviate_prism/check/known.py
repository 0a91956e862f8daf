"""The modules of Weaviate that may have Prism behind them, and the keys of their configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weaviate_prism.values import Modality

# In the order in which stock modules send them and native ones read them.
FIELD_LISTS: Mapping[str, Modality] = {
    "textFields": Modality.TEXT,
    "imageFields": Modality.IMAGE,
    "videoFields": Modality.VIDEO,
}
# Of multi2vec-bind, in Weaviate's spelling and in weaviate-client's, which Weaviate does not read.
UNSUPPORTED_LISTS = ("audioFields", "imuFields", "IMUFields", "thermalFields", "depthFields")
TEXT_TYPES = ("text", "text[]")
MEDIA_TYPES = ("blob", "blobHash")


@dataclass(frozen=True, slots=True)
class Module:
    """What a collection can tell a module."""

    lists: tuple[str, ...] = ()  # keys with names of properties
    urls: tuple[str, ...] = ()  # keys with addresses
    public: str = ""  # where it sends everything if the collection names no address
    variable: str = ""  # of Weaviate's process, with the address for all collections
    tells: bool = False  # whether its entry in /v1/meta is the service's own
    model: str | None = None  # of its key `model`, what stands for the default; None where it has no such key


EVERYTHING = tuple(FIELD_LISTS)

VECTORIZERS: Mapping[str, Module] = {
    "multi2vec-prism": Module(EVERYTHING, variable="PRISM_MODULE_ADDRESS", tells=True, model=""),
    "multi2vec-bind": Module(EVERYTHING, variable="BIND_INFERENCE_API", tells=True),
    "multi2vec-clip": Module(
        ("textFields", "imageFields"), ("inferenceUrl",), variable="CLIP_INFERENCE_API", tells=True
    ),
    "multi2vec-voyageai": Module(EVERYTHING, ("baseURL",), "https://api.voyageai.com/v1", model="voyage-multimodal-3"),
    "text2vec-transformers": Module(
        urls=("inferenceUrl", "passageInferenceUrl", "queryInferenceUrl"),
        variable="TRANSFORMERS_INFERENCE_API",
        tells=True,
    ),
    "img2vec-neural": Module(("imageFields",), variable="IMAGE_INFERENCE_API"),
}

RERANKERS: Mapping[str, Module] = {
    "reranker-prism": Module(EVERYTHING, variable="PRISM_MODULE_ADDRESS", tells=True, model=""),
    "reranker-transformers": Module(variable="RERANKER_INFERENCE_API", tells=True),
    "reranker-cohere": Module(urls=("baseURL",), public="https://api.cohere.ai", model="rerank-v3.5"),
    "reranker-nvidia": Module(
        urls=("baseURL",), public="https://ai.api.nvidia.com", model="nvidia/rerank-qa-mistral-4b"
    ),
}

MODULES: Mapping[str, Module] = {**VECTORIZERS, **RERANKERS}
