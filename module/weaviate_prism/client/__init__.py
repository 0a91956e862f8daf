"""Prism from Python, with the verbs of Sentence Transformers, over gRPC.

    with PrismClient("localhost:8091") as prism:
        vectors = prism.encode_document(["a red star", Path("star.png"), ("a star", Path("star.png"))])
        ranking = prism.rank("a red star", [Path("star.png"), "a blue circle"], top_k=1)

Needs neither models nor PyTorch, only grpcio, protobuf and NumPy; Pillow where pictures or arrays are passed.
"""

from weaviate_prism.client.aio import AsyncPrismClient
from weaviate_prism.client.connection import TLS
from weaviate_prism.client.failures import ItemsFailed
from weaviate_prism.client.info import LoadedModel, Profile, ServiceInfo
from weaviate_prism.client.inputs import Input, Pair
from weaviate_prism.client.scoring import Ranked
from weaviate_prism.client.sync import PrismClient
from weaviate_prism.errors import (
    DeadlineExceeded,
    Internal,
    InvalidInput,
    NotFound,
    Overloaded,
    PrismError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

__all__ = [
    "TLS",
    "AsyncPrismClient",
    "DeadlineExceeded",
    "Input",
    "Internal",
    "InvalidInput",
    "ItemsFailed",
    "LoadedModel",
    "NotFound",
    "Overloaded",
    "Pair",
    "PrismClient",
    "PrismError",
    "Profile",
    "Ranked",
    "ServiceInfo",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
]
