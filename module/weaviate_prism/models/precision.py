"""Which precision a model is computed in: bfloat16 where the device is fast at it and answers as in float32.

    float32, standard way -> its answers are kept, it is dropped -> bfloat16, fastest way that answers alike

Loaded twice rather than converted: that would round buffers as well that stay in float32, such as the frequencies of
rotary positions.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from weaviate_prism.config import Dtype
from weaviate_prism.models.base import Model, NoRoomError
from weaviate_prism.models.tiers import Answers, Coarse

log = logging.getLogger(__name__)

CPUINFO = Path("/proc/cpuinfo")
# Instructions of a CPU that computes bfloat16; others convert each number, which takes longer than float32.
FAST_FLAGS = {"amx_bf16", "avx512_bf16"}
# Why `auto` stays with float32, by device.
SLOW = {"cpu": "this CPU has neither AMX-BF16 nor AVX512-BF16", "cuda": "this GPU only emulates bfloat16"}

M = TypeVar("M", bound=Model)


def in_precision(
    wanted: Dtype,
    device: str,
    name: str,
    standard: Callable[[torch.dtype], M],
    fastest: Callable[[M, Answers | None, bool], M],
    answers: Callable[[M], Answers],
) -> M:
    """The model in the precision that is wanted; for `auto`, in bfloat16 only if it proves right.

    Args:
        name: what clients call it.
        standard: loads it, to be computed the standard way.
        fastest: see `models.tiers`, as for `answers`.

    Raises:
        ModelError: it cannot be loaded.
    """

    def made(dtype: torch.dtype, expected: Answers | None = None, note: str = "") -> M:
        model = fastest(standard(dtype), expected, wanted == "bfloat16")
        model.info = replace(model.info, dtype_note=note or model.info.dtype_note)
        return model

    if wanted == "float32":
        return made(torch.float32)
    if wanted == "auto" and not is_fast(device):
        return made(torch.float32, note=SLOW[device])
    expected, reason, room = None, "", True
    try:
        expected = answers(standard(torch.float32))
    except (NoRoomError, MemoryError, torch.OutOfMemoryError) as error:
        reason, room = f"there is no room for float32: {error}", False
    _free()  # not before an error is gone, which may hold the model
    if expected is not None:
        try:
            return made(torch.bfloat16, expected)
        except Coarse as error:
            reason = f"against float32 {error}"
        _free()
    taken = torch.float32 if room else torch.bfloat16
    log.warning("%s: bfloat16 is not proved, and %s is taken: %s", name, taken, reason)
    return made(taken, note=f"bfloat16 is not proved: {reason}")


def is_fast(device: str) -> bool:
    """Whether it computes bfloat16 faster than float32."""
    if device == "cuda":
        own: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return own
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and FAST_FLAGS.intersection(line.split()) for line in lines)


def _free() -> None:
    """What a dropped model held."""
    gc.collect()  # its modules know each other
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
