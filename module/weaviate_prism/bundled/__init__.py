"""The pair of small models that Prism ships, and the drawn world they were trained on.

Importing this package loads nothing but paths; the submodules bring Pillow or torch in when they are used.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

EMBEDDER_DIR = _HERE / "embedder"
RERANKER_DIR = _HERE / "reranker"

__all__ = ["EMBEDDER_DIR", "RERANKER_DIR"]
