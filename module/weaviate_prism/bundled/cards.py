"""Model cards: the measured figures and the command that made the weights, written beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, SentenceTransformer

from weaviate_prism.bundled.evaluate import evaluate

_EMBEDDER = """# Bundled embedder

Texts, pictures and clips of the drawn world (`weaviate_prism.bundled.scenes`) as unit vectors of 128 numbers. Made from
scratch by this project to make the demo and the tests run anywhere; it knows nothing outside that world.
"""
_RERANKER = """# Bundled reranker

Says how likely a document (text, picture or clip) answers a query (text, picture or clip) in the drawn world
(`weaviate_prism.bundled.scenes`). Query first, document second; the score is the sigmoid of logit(yes) - logit(no).
"""
_COMMON = """
Architecture: Qwen3-VL, {parameters:.2f} M parameters, pictures at 64 x 64 pixels, clips as eight frames at 48 x 48.
Weights are stored in half precision and load as float32.

Made by `python -m weaviate_prism.bundled.train --out DIR`, figures by `python -m weaviate_prism.bundled.evaluate` on
scenes drawn from another seed. R@k: a right document is among the first k; gains of nDCG@10 are 0 and 1.
Read both columns: where "reranked" is lower, this reranker spoils what the embedder found.

| search | queries | documents | R@1 | R@10 | nDCG@10 | R@1 reranked | nDCG@10 reranked |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}
"""


def write_cards(folder: Path, pictures: int = 400, clips: int = 100) -> dict[str, Any]:
    """Evaluate the pair in `folder` and write both README.md; returns the figures."""
    embedder = SentenceTransformer(str(folder / "embedder"), device="cpu")
    reranker = CrossEncoder(str(folder / "reranker"), device="cpu")
    figures = evaluate(embedder, reranker, pictures, clips)
    rows = "\n".join(_row(name, part) for name, part in figures.items())
    for name, text, model in (("embedder", _EMBEDDER, embedder), ("reranker", _RERANKER, reranker)):
        parameters = sum(weight.numel() for weight in model.parameters()) / 1e6
        (folder / name / "README.md").write_text(text + _COMMON.format(parameters=parameters, rows=rows))
    return figures


def _row(name: str, part: dict[str, Any]) -> str:
    before, after = part["embedder"], part["reranked"]
    cells = [name, part["queries"], part["documents"]]
    cells += [f"{value:.3f}" for value in (before["R@1"], before["R@10"], before["nDCG@10"])]
    cells += [f"{value:.3f}" for value in (after["R@1"], after["nDCG@10"])]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
