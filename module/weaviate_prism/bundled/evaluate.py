"""How well the pair finds scenes it has never seen: the embedder alone, and after the reranker re-orders its top ten.

    python -m weaviate_prism.bundled.evaluate [--embedder DIR] [--reranker DIR]

prints one JSON object, a slice per way of searching. Relevance is decided by facts: a document is right when every fact
that the query states holds in it, so `three red circles` has two right answers, small and large ones.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from weaviate_prism.bundled import EMBEDDER_DIR, RERANKER_DIR
from weaviate_prism.bundled.drawing import clip_frames, picture
from weaviate_prism.bundled.scenes import PICTURE_KINDS, Facts, Scene, make_scenes
from weaviate_prism.bundled.sight import FRAMES

SEED = 20_261_121
TOP = 10
Orders = Sequence[Sequence[int]]  # document rows, best first, of each query
_METADATA = {
    "fps": FRAMES / 2,
    "total_num_frames": FRAMES,
    "duration": 2.0,
    "frames_indices": list(range(FRAMES)),
}


@dataclass(frozen=True)
class Probe:
    """One side of a search: what a model reads and the facts it states."""

    content: Any  # str, PIL image, or (frames, 3, height, width) tensor
    facts: Facts


@dataclass(frozen=True)
class Slice:
    """Queries of one kind and the documents they search."""

    name: str
    queries: list[Probe]
    documents: list[Probe]


def evaluate(embedder: SentenceTransformer, reranker: CrossEncoder, pictures: int, clips: int) -> dict[str, Any]:
    """Figures of every slice before and after reranking."""
    figures: dict[str, Any] = {}
    for part in slices(pictures, clips):
        figures |= _measure(embedder, reranker, part)
    return figures


def slices(pictures: int, clips: int) -> list[Slice]:
    """The evaluation set: pictures by text and by picture; titles; clips by text and by clip."""
    rng = random.Random(SEED)
    scenes = make_scenes(pictures, SEED, PICTURE_KINDS)
    moving = make_scenes(clips, SEED, ("clip",))
    drawn, filmed = [probe(scene) for scene in scenes], [probe(scene) for scene in moving]
    asked = [_phrase(scene, rng) for scene in scenes]
    return [
        Slice("text to picture", asked, drawn),
        Slice("picture to picture", [_redrawn(scene) for scene in scenes[: pictures // 2]], drawn),
        Slice("text to title", asked[: pictures // 2], [Probe(scene.caption, scene.facts) for scene in scenes]),
        Slice("text to clip", [_phrase(scene, rng) for scene in moving], filmed),
        Slice("clip to clip", [_redrawn(scene) for scene in moving[: clips // 2]], filmed),
    ]


def _phrase(scene: Scene, rng: random.Random) -> Probe:
    query = rng.choice(scene.queries)
    return Probe(query.text, query.facts)


def probe(scene: Scene) -> Probe:
    """The scene's picture, or eight frames of its clip."""
    if not scene.is_clip:
        return Probe(picture(scene), scene.facts)
    return Probe(torch.from_numpy(clip_frames(scene, FRAMES)).permute(0, 3, 1, 2).contiguous(), scene.facts)


def _redrawn(scene: Scene) -> Probe:
    return probe(Scene(scene.facts, scene.seed + 1))


def _measure(embedder: SentenceTransformer, reranker: CrossEncoder, part: Slice) -> dict[str, Any]:
    """Figures of all queries, and of each kind of scene when there are several."""
    scores = embed(embedder, part.queries) @ embed(embedder, part.documents).T
    found = [np.argsort(-row)[:TOP].tolist() for row in scores]
    again = [
        _reordered(reranker, query, part.documents, order) for query, order in zip(part.queries, found, strict=True)
    ]
    kinds = [query.facts.kind for query in part.queries]
    figures = {part.name: _both(part, found, again, range(len(kinds)))}
    if len(set(kinds)) > 1:
        for kind in sorted(set(kinds)):
            rows = [row for row, other in enumerate(kinds) if other == kind]
            figures[f"{part.name}, {kind}s"] = _both(part, found, again, rows)
    return figures


def _both(part: Slice, found: Orders, again: Orders, rows: Sequence[int]) -> dict[str, Any]:
    chosen = Slice(part.name, [part.queries[row] for row in rows], part.documents)
    return {
        "queries": len(rows),
        "documents": len(part.documents),
        "embedder": _figures(chosen, [found[row] for row in rows]),
        "reranked": _figures(chosen, [again[row] for row in rows]),
    }


def embed(embedder: SentenceTransformer, probes: Sequence[Probe]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Unit vectors of texts, pictures or clips."""
    contents = [
        {"array": probe.content, "video_metadata": _METADATA} if torch.is_tensor(probe.content) else probe.content
        for probe in probes
    ]
    vectors: np.ndarray[Any, np.dtype[np.float32]] = embedder.encode(
        contents, processing_kwargs={"video": {"do_sample_frames": False}}, show_progress_bar=False
    )
    return vectors


def score(reranker: CrossEncoder, query: Probe, documents: Sequence[Probe]) -> list[float]:
    """Scores between 0 and 1 of every document for the query."""
    pairs = [(query.content, document.content) for document in documents]
    clips = sum(torch.is_tensor(side) for pair in pairs for side in pair)
    video = {"do_sample_frames": False, "video_metadata": [_METADATA] * clips}
    scores = reranker.predict(
        pairs, batch_size=len(pairs), processing_kwargs={"video": video} if clips else None, show_progress_bar=False
    )
    return [float(value) for value in scores]


def _reordered(reranker: CrossEncoder, query: Probe, documents: Sequence[Probe], order: list[int]) -> list[int]:
    scores = score(reranker, query, [documents[index] for index in order])
    return [index for _, index in sorted(zip(scores, order, strict=True), key=lambda pair: -pair[0])]


def _figures(part: Slice, found: Orders) -> dict[str, float]:
    """R@1, R@10 (a right one is among the first k) and nDCG@10 with gains of 0 and 1."""
    gains, ideals = [], []
    for query, order in zip(part.queries, found, strict=True):
        gains.append([query.facts.matches(part.documents[index].facts) for index in order])
        ideals.append(sum(query.facts.matches(document.facts) for document in part.documents))
    ndcg = [_dcg(row) / _dcg([True] * min(TOP, ideal)) for row, ideal in zip(gains, ideals, strict=True)]
    return {
        "R@1": round(float(np.mean([row[0] for row in gains])), 4),
        "R@10": round(float(np.mean([any(row) for row in gains])), 4),
        "nDCG@10": round(float(np.mean(ndcg)), 4),
    }


def _dcg(gains: Sequence[bool]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def main() -> None:
    """Load both directories and print the figures."""
    parser = argparse.ArgumentParser(description="Evaluate the bundled pair on scenes drawn from another seed.")
    parser.add_argument("--embedder", type=Path, default=EMBEDDER_DIR)
    parser.add_argument("--reranker", type=Path, default=RERANKER_DIR)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--clips", type=int, default=100)
    options = parser.parse_args()
    embedder = SentenceTransformer(str(options.embedder), device="cpu")
    reranker = CrossEncoder(str(options.reranker), device="cpu")
    print(json.dumps(evaluate(embedder, reranker, options.pictures, options.clips), indent=2))


if __name__ == "__main__":
    main()
