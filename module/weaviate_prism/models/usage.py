"""How to use a model from Weaviate: the command, and a collection's configuration, native and stock."""

from __future__ import annotations

import textwrap

from weaviate_prism.models.facts import UNKNOWN, Entry

FIELDS = {"text": ("textFields", "title"), "image": ("imageFields", "still"), "video": ("videoFields", "trailer")}
ENVIRONMENTS = {
    "multi2vec-bind": ("ENABLE_MODULES=multi2vec-bind", "BIND_INFERENCE_API=http://prism:8090"),
    "multi2vec-clip": ("ENABLE_MODULES=multi2vec-clip", "CLIP_INFERENCE_API=http://prism:8090"),
    "text2vec-transformers": ("ENABLE_MODULES=text2vec-transformers", "TRANSFORMERS_INFERENCE_API=http://prism:8090"),
    "reranker-transformers": ("ENABLE_MODULES=reranker-transformers", "RERANKER_INFERENCE_API=http://prism:8090"),
}


def guide(entry: Entry) -> str:
    """Text with commands and code, as it stands."""
    module = stock_module(entry)
    return "\n".join(
        [
            f"Serve it{version_note(entry)}:",
            _indented("prism serve --host 0.0.0.0 " + " ".join(serve_flags(entry))),
            "",
            "With Prism's native modules (`prism weaviate build`), in Weaviate's environment and in Python:",
            _indented(f"ENABLE_MODULES={native_module(entry)}\nPRISM_MODULE_ADDRESS=prism:8091\n"),
            _indented(collection(entry, native=True)),
            "",
            f"With the stock module {module} of an unchanged Weaviate:",
            _indented("\n".join(ENVIRONMENTS[module]) + "\n"),
            _indented(collection(entry, native=False)),
        ]
    )


def serve_flags(entry: Entry) -> list[str]:
    """Of `prism serve`, which loads nothing else beside it."""
    name = "OWNER/NAME" if entry.name.startswith("any ") else entry.name
    version = revision(entry)
    flags = [f"--{entry.kind}", name]
    if version:
        flags += [f"--{entry.kind}-revision", version]
    if entry.own_code.value == "yes":
        flags += ["--trust-remote-code", f"{name}@{version}"]
    return [*flags, *(("--reranker", "none") if entry.kind == "embedder" else ("--embedder", "none"))]


def version_note(entry: Entry) -> str:
    """Which version the command names, and why."""
    if entry.commit != UNKNOWN:
        return ", at the commit that others have pinned"
    moves = revision(entry).startswith("refs/")
    return ", at the revision that its announcement names, which may move" if moves else ""


def revision(entry: Entry) -> str:
    """The version to ask for: a commit that others pinned, else what Sentence Transformers needs; often empty."""
    if entry.commit != UNKNOWN:
        return entry.commit.value
    if entry.own_code.value == "yes":
        return "COMMIT"
    return entry.revision.value if entry.revision.value.startswith("refs/") else ""


def native_module(entry: Entry) -> str:
    return "multi2vec-prism" if entry.kind == "embedder" else "reranker-prism"


def stock_module(entry: Entry) -> str:
    if entry.kind == "reranker":
        return "reranker-transformers"
    if entry.reads("video"):
        return "multi2vec-bind"
    return "multi2vec-clip" if entry.reads("image") else "text2vec-transformers"


def collection(entry: Entry, *, native: bool) -> str:
    """Python that creates a collection with `client`."""
    read = [modality for modality in FIELDS if entry.reads(modality)]
    properties = "".join(
        f'        Property(name="{FIELDS[each][1]}", data_type=DataType.{"TEXT" if each == "text" else "BLOB"}),\n'
        for each in read
    )
    return (
        "from weaviate.classes.config import Configure, DataType, Property\n\n"
        "client.collections.create(\n"
        '    "Film",\n'
        f"    properties=[\n{properties}    ],\n"
        f"    {_native(entry, read) if native else _stock(entry, read)},\n"
        ")"
    )


def _native(entry: Entry, read: list[str]) -> str:
    lists = {FIELDS[each][0]: [FIELDS[each][1]] for each in read}
    config = repr(lists).replace("'", '"')
    if entry.kind == "embedder":
        return f'vector_config=Configure.Vectors.custom(module_name="multi2vec-prism", module_config={config})'
    return f'reranker_config=Configure.Reranker.custom("reranker-prism", module_config={config})'


def _stock(entry: Entry, read: list[str]) -> str:
    module = stock_module(entry)
    if module == "reranker-transformers":
        return "reranker_config=Configure.Reranker.transformers()"
    if module == "text2vec-transformers":
        return "vector_config=Configure.Vectors.text2vec_transformers(vectorize_collection_name=False)"
    lists = ", ".join(f'{each}_fields=["{FIELDS[each][1]}"]' for each in read)
    return f"vector_config=Configure.Vectors.{module.replace('-', '_')}({lists})"


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ")
