"""What Prism is measured against, and how all are asked: the same weights and threads, a turn each."""

from __future__ import annotations

import contextlib
import functools
import io
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from sentence_transformers import CrossEncoder, SentenceTransformer

from bench.infinity import Infinity, Unavailable
from bench.load import b64, drive, http, http_object, post, rpc, rpc_object
from bench.models import directory
from servers import Content, Prism
from weaviate_prism.config import Settings
from weaviate_prism.media import MediaDecoder
from weaviate_prism.scheduling.scheduler import QUERIES_EXPECTED_SECONDS

Start = Callable[[list[Any]], Callable[[], Any]]

DECODER = MediaDecoder(Settings())
LOAD_SECONDS = 300.0  # of a model; ten times what two idle cores need
CHUNK = 32  # documents in one request of Weaviate's, and in one batch of `predict`


def serving(**models: str) -> Prism:
    """`prism serve` with these of `bench.models`, by kind, and defaults for all else."""
    chosen = {"embedder": "none", "reranker": "none", **models}
    names = {kind: name if name == "none" else str(directory(name)) for kind, name in chosen.items()}
    return Prism("--embedder", names["embedder"], "--reranker", names["reranker"], load_seconds=LOAD_SECONDS)


def described(prism: Prism, kind: str) -> dict[str, str]:
    """The words of a row about the model that serves."""
    (model,) = (each for each in prism.http.get("/meta").json()["models"] if each["kind"] == kind)
    return {"dtype": model["dtype"], "tier": model["tier"]}


@contextlib.contextmanager
def infinity(model: str) -> Iterator[Infinity | None]:
    """None, and the reason printed, where it cannot be had."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(Infinity(model))
        except Unavailable as error:
            print(f"\nwithout infinity-emb: {error}")
            server = None
        yield server


# -- embedding: new contents of one kind ---------------------------------------------------------


def by_http(prism: Prism, kind: str, at_once: int) -> Start:
    """One object a request."""

    def start(contents: list[Content]) -> Callable[[], Any]:
        requests = [http_object(content, kind) for content in contents]
        return lambda: drive(http(prism.url), requests, at_once)

    return start


def by_rpc(prism: Prism, at_once: int) -> Start:
    """One object a request. A text alone is a query by HTTP, and for a while inserts leave room for more of these."""

    def start(contents: list[Content]) -> Callable[[], Any]:
        requests = [rpc_object(content) for content in contents]
        time.sleep(QUERIES_EXPECTED_SECONDS)
        return lambda: drive(rpc(prism.grpc_address), requests, at_once)

    return start


def by_infinity(server: Infinity, kind: str, at_once: int) -> Start:
    """One text or picture a request."""

    def body(content: Content) -> dict[str, Any]:
        if isinstance(content, str):
            return {"model": server.model, "input": [content]}
        return {"model": server.model, "modality": "image", "input": [f"data:image/jpeg;base64,{b64(content)}"]}

    def start(contents: list[Content]) -> Callable[[], Any]:
        requests = [post("/embeddings", body(content)) for content in contents]
        return lambda: drive(http(server.url), requests, at_once)

    return start


def by_encode(model: SentenceTransformer, kind: str, batch: int) -> Start:
    """Sentence Transformers in a loop; decoding counts, as it does for servers."""

    def start(contents: list[Content]) -> Callable[[], Any]:
        batches = [contents[at : at + batch] for at in range(0, len(contents), batch)]
        return lambda: [encode(model, kind, each, batch) for each in batches]

    return start


def encode(model: SentenceTransformer, kind: str, contents: Sequence[Any], batch: int) -> Any:
    options: dict[str, Any] = {"batch_size": batch, "normalize_embeddings": True, "show_progress_bar": False}
    if kind == "texts":
        return model.encode_document(list(contents), **options)
    if kind == "images":
        return model.encode_document([picture(each) for each in contents], **options)
    clips, settings = frames(contents)
    blocks = [[{"role": "user", "content": [{"type": "video", "video": clip}]}] for clip in clips]
    return model.encode_document(blocks, **options, processing_kwargs=settings)


def picture(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def frames(clips: Sequence[bytes]) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """The same frames that Prism takes, and what the processor must know of them.

    Left to itself, Sentence Transformers decodes a whole clip and takes two frames a second.
    """
    decoded = [DECODER.clip(each) for each in clips]
    metadata = [
        {
            "fps": clip.fps,
            "total_num_frames": clip.total_frames,
            "duration": clip.seconds,
            "frames_indices": list(clip.indices),
        }
        for clip in decoded
    ]
    options = {"video": {"video_metadata": metadata, "do_sample_frames": False}}
    return [torch.from_numpy(clip.frames) for clip in decoded], options


@functools.cache
def plain(model: str) -> SentenceTransformer:
    return SentenceTransformer(str(directory(model)), model_kwargs={"dtype": torch.float32})


# -- reranking: new documents under a new query --------------------------------------------------


def rerank_requests(query: str, documents: Sequence[Content]) -> list[bytes]:
    """As Weaviate sends one search to reranker-transformers: requests of 32 documents, all at once."""
    texts = [each if isinstance(each, str) else b64(each) for each in documents]
    chunks = (texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK))
    return [post("/rerank", {"query": query, "documents": chunk}) for chunk in chunks]


def predict(model: CrossEncoder, query: str, kind: str, documents: Sequence[Any]) -> Any:
    """`CrossEncoder.predict` in batches of 32, decoding included."""
    if kind == "video":  # it hands what is told of all clips to each batch
        return [predict_clips(model, query, documents[at : at + CHUNK]) for at in range(0, len(documents), CHUNK)]
    read = [picture(each) for each in documents] if kind == "images" else documents
    return model.predict([(query, each) for each in read], batch_size=CHUNK, show_progress_bar=False)


def predict_clips(model: CrossEncoder, query: str, clips: Sequence[bytes]) -> Any:
    decoded, options = frames(clips)
    return model.predict([(query, each) for each in decoded], show_progress_bar=False, processing_kwargs=options)


@functools.cache
def plain_reranker(model: str) -> CrossEncoder:
    return CrossEncoder(str(directory(model)), model_kwargs={"dtype": torch.float32})
