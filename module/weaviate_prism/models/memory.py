"""Whether there is memory for a model, before it is loaded: an estimate from its weight files against what is free."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import safe_open

from weaviate_prism.models import loading
from weaviate_prism.models.base import NoRoomError

log = logging.getLogger(__name__)

# Activations, buffers and fragments; of a model that may not fit, a batch is small beside the weights.
BESIDES_WEIGHTS = 1.2

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def check_room(name: str, location: str, revision: str, dtype: torch.dtype, device: str) -> None:
    """
    Args:
        name: what clients call the model.
        location: a directory or a hub id.

    Raises:
        NoRoomError
    """
    weights, free = weight_bytes(location, revision, dtype), free_bytes(device)
    if weights is None or free is None:
        log.info("%s: whether there is memory for it is not known", name)
        return
    needed = int(weights * BESIDES_WEIGHTS)
    if needed > free:
        where = "on the GPU" if device == "cuda" else "in memory"
        raise NoRoomError(f"{name}: needs about {needed / 1e6:,.0f} MB; {free / 1e6:,.0f} MB are free {where}")


def weight_bytes(location: str, revision: str, dtype: torch.dtype) -> int | None:
    """Of the weights once they are loaded; None where the hub does not answer."""
    if Path(location).is_dir():
        return _of_folder(Path(location), dtype)
    try:
        downloaded = snapshot_download(
            location, revision=revision or None, cache_dir=loading.cache(), local_files_only=True
        )
    except LocalEntryNotFoundError:
        return _of_hub(location, revision, dtype)
    return _of_folder(Path(downloaded), dtype) or _of_hub(location, revision, dtype)


def _of_folder(folder: Path, dtype: torch.dtype) -> int:
    """Of all its modules, which have folders of their own but for the first."""
    if files := [*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")]:
        return sum(math.prod(shape) * _width(kind, dtype) for path in files for kind, shape in _tensors(path))
    return sum(path.stat().st_size for path in (*folder.glob("*.bin"), *folder.glob("*/*.bin")))


def _tensors(path: Path) -> Iterator[tuple[str, list[int]]]:
    """The dtype, as `F32`, and shape of each; reads the header only."""
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - it is no dict
            of_file = file.get_slice(key)
            yield of_file.get_dtype(), of_file.get_shape()


def _of_hub(repository: str, revision: str, dtype: torch.dtype) -> int | None:
    """By what the hub says of its files, before they are downloaded."""
    try:
        found = model_info(repository, revision=revision or None, files_metadata=True, timeout=10)
    except Exception as error:  # its client's own and those of two HTTP libraries; loading will say it plainly
        log.debug("%s: the hub does not tell its size", repository, exc_info=error)
        return None
    if found.safetensors:
        return sum(count * _width(kind, dtype) for kind, count in found.safetensors.parameters.items())
    sizes = [file.size or 0 for file in found.siblings or () if file.rfilename.endswith(".bin")]
    return sum(sizes) or None


def _width(kind: str, dtype: torch.dtype) -> int:
    """Bytes of a number of this kind, as safetensors names it, once it is loaded: floats become `dtype`."""
    if kind.startswith(("F", "BF")):
        return dtype.itemsize
    return {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2}.get(kind, 1)


def free_bytes(device: str) -> int | None:
    """What a model may take; None where the system does not tell."""
    if device == "cuda":
        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()  # by torch, for whatever comes
        return int(torch.cuda.mem_get_info()[0]) + kept
    return min(_found(_available(), _left_in_cgroup()), default=None)


def _found(*figures: int | None) -> Iterable[int]:
    return [figure for figure in figures if figure is not None]


def _available() -> int | None:
    try:
        fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _left_in_cgroup() -> int | None:
    """Of a container's limit, by cgroup v2; what files keep there is given up on demand."""
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        counts = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return None if limit == "max" else int(limit) - int(used) + int(counts["inactive_file"])
    except (OSError, KeyError, ValueError):
        return None
