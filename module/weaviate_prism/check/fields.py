"""Whether the modules of a collection see the properties that they are meant to see, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from weaviate_prism.check.addresses import ANEW
from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.check.known import FIELD_LISTS, MEDIA_TYPES, TEXT_TYPES, UNSUPPORTED_LISTS, VECTORIZERS
from weaviate_prism.check.schema import Collection, Vector
from weaviate_prism.values import Modality

# A text may hold base64 as well: stock modules send any string.
TYPES: Mapping[Modality, Sequence[str]] = {
    Modality.TEXT: TEXT_TYPES,
    Modality.IMAGE: (*MEDIA_TYPES, "text"),
    Modality.VIDEO: (*MEDIA_TYPES, "text"),
}


def findings(collection: Collection) -> Iterator[Finding]:
    """At least one for every vector that Prism may make, and one for media that none of them reads."""
    ours = [vector for vector in collection.vectors if vector.module in VECTORIZERS]
    for vector in ours:
        about = collection.label(vector)
        if vector.module == "text2vec-transformers":
            yield from _of_text_module(collection, vector, about)
        else:
            wrong = list(_of_lists(collection, vector, about))
            fields = ", ".join(vector.all_fields())
            yield from wrong or [green(Check.FIELDS, about, f"{vector.module} reads {fields}")]
    if any(VECTORIZERS[vector.module].lists for vector in ours):
        yield from _unread(collection)


def unreadable(collection: Collection, vector: Vector, modalities: Sequence[str]) -> Iterator[Finding]:
    """Fields of a kind that the loaded model does not read.

    Args:
        modalities: what the model reads, as `/meta` names it.
    """
    for key, modality in FIELD_LISTS.items():
        if key in VECTORIZERS[vector.module].lists and vector.fields(key) and modality not in modalities:
            says = f"{key} {', '.join(vector.fields(key))}: the loaded model reads only {', '.join(modalities)}"
            cure = f"serve a model that reads {modality} (prism serve --embedder), or leave the fields out, {ANEW}"
            yield red(Check.FIELDS, collection.label(vector), says, cure)


def _of_lists(collection: Collection, vector: Vector, about: str) -> Iterator[Finding]:
    lists = VECTORIZERS[vector.module].lists
    if not any(vector.fields(key) for key in lists):
        says = f"{vector.module} names no property in {', '.join(lists)}: objects get no vector, and no error"
        yield red(Check.FIELDS, about, says, f"name the properties, {ANEW}")
    for key in lists:
        for name in vector.fields(key):
            yield from _field(collection, key, name, about)
    for key in (*UNSUPPORTED_LISTS, *FIELD_LISTS):
        if key not in lists and vector.config.get(key):
            says = f"{key} is nothing that {vector.module} can have from Prism"
            yield red(Check.FIELDS, about, says, f"leave it out, or take another module, {ANEW}")


def _field(collection: Collection, key: str, name: str, about: str) -> Iterator[Finding]:
    wanted = TYPES[FIELD_LISTS[key]]
    found = collection.types.get(name)
    if found is None:
        alike = next((each for each in collection.types if each.lower() == name.lower()), None)
        hint = f'it is called "{alike}"' if alike else f"there are {', '.join(sorted(collection.types))}"
        says = f'{key}: the collection has no property "{name}", so it is never sent'
        yield red(Check.FIELDS, about, says, f"{hint}: name that {ANEW}, or add the property")
    elif found not in wanted:
        says = f'{key}: property "{name}" is of type {found}, which the module leaves out'
        yield red(Check.FIELDS, about, says, f"make it {' or '.join(wanted)}, {ANEW}")


def _unread(collection: Collection) -> Iterator[Finding]:
    read = {name for vector in collection.vectors for name in vector.all_fields()}
    for config in collection.rerankers.values():
        read.update(name for key in FIELD_LISTS for name in config.get(key) or ())
    if names := [name for name in collection.media() if name not in read]:
        says = f"no vector is made of {', '.join(names)}"
        yield yellow(
            Check.FIELDS,
            collection.name,
            says,
            f"fine if meant so; else list them in imageFields or videoFields, {ANEW}",
        )


def _of_text_module(collection: Collection, vector: Vector, about: str) -> Iterator[Finding]:
    if vector.config.get("vectorizeClassName", True):
        says = f'every text begins with the collection\'s name, "{collection.name}", which moves all vectors'
        yield yellow(
            Check.CLASS_NAME, about, says, f"set vectorizeClassName (vectorize_collection_name) to false, {ANEW}"
        )
    else:
        yield green(Check.CLASS_NAME, about, "texts are sent without the collection's name")
    chosen = vector.config.get("properties") or collection.types
    skipped = collection.skipped.get(vector.module, frozenset())
    if media := [name for name in collection.media() if name in chosen and name not in skipped]:
        says = f"the base64 of {', '.join(media)} becomes part of the text"
        yield red(Check.FIELDS, about, says, f"name the texts in properties (source_properties), {ANEW}")
    else:
        yield green(Check.FIELDS, about, f"{vector.module} reads no media")
