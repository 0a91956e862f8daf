"""How to go on: ten lines of Python for the servers that `--keep` leaves running."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from weaviate_prism.demo.service import Prism
from weaviate_prism.weaviate.server import WeaviateServer

SNIPPET = """\
import weaviate
from weaviate.classes.query import Filter, Rerank

with weaviate.connect_to_local(port={http_port}, grpc_port={grpc_port}) as client:
    gallery = client.collections.use("Gallery")
    words, clips = "a yellow star that blinks", Filter.by_property("kind").equal("clip")
    rerank = Rerank(prop="clip", query=words)
    found = gallery.query.near_text(words, filters=clips, limit=10, rerank=rerank)
    for clip in found.objects:
        print(f"{{clip.metadata.rerank_score:.3f}}", clip.properties["title"])
"""


def explain(console: Console, weaviate: WeaviateServer, prism: Prism, folder: Path) -> None:
    """Prints the snippet, and how to end what was left."""
    console.print("\nBoth servers keep running. To go on in Python:\n")
    code = SNIPPET.format(http_port=weaviate.http_port, grpc_port=weaviate.grpc_port)
    console.print(code, markup=False, highlight=False, soft_wrap=True)
    console.print(f"To end: kill {weaviate.pid} {prism.pid}; rm -r {folder}", soft_wrap=True)
