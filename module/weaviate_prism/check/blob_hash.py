"""Properties of type blobHash, of which Weaviate keeps a digest and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.check.known import FIELD_LISTS, RERANKERS, VECTORIZERS
from weaviate_prism.check.schema import Collection

STORE = (
    "start Prism with --media-store DIR, and send the objects that came in before again (README, "
    '"Properties of type blobHash")'
)


def findings(collection: Collection, media_store: bool) -> Iterator[Finding]:
    """Nothing where the collection has none, or Prism has no part in it.

    Args:
        media_store: whether Prism keeps media.
    """
    hashed = collection.media("blobHash")
    ours = any(vector.module in VECTORIZERS for vector in collection.vectors) or RERANKERS.keys() & collection.rerankers
    if not hashed or not ours:
        return
    if media_store:
        yield green(Check.BLOB_HASH, collection.name, f"Prism keeps the media of {', '.join(hashed)} (--media-store)")
        return
    yield from _reranked(collection, hashed)
    vectorized = {name for vector in collection.vectors for name in vector.all_fields()}
    if stored := [name for name in hashed if name in vectorized]:
        wide = "of any object" if collection.multi_tenant else "that vectorizes an object anew"
        says = f"{', '.join(stored)}: a PATCH {wide} sends the digest in place of the media, and fails"
        yield yellow(Check.BLOB_HASH, collection.name, says, f"send whole objects, or {STORE}")


def _reranked(collection: Collection, hashed: list[str]) -> Iterator[Finding]:
    names = ", ".join(hashed)
    for module, config in collection.rerankers.items():
        listed = [name for key in FIELD_LISTS for name in config.get(key) or ()]
        if module not in RERANKERS:
            continue
        if chosen := [name for name in hashed if name in listed]:
            says = f"{module} ranks by {', '.join(chosen)}, of which it has only the digest: searches fail"
            yield red(Check.BLOB_HASH, collection.name, says, STORE)
        elif module == "reranker-prism":
            yield yellow(
                Check.BLOB_HASH, collection.name, f"{module} cannot rank by {names}: the media are not kept", STORE
            )
        else:
            says = f"ranked by {names}, {module} scores the text of the digests, which means nothing"
            yield yellow(Check.BLOB_HASH, collection.name, says, f"fine if no search ranks by it; else {STORE}")
