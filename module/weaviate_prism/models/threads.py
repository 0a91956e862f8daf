"""How many threads torch uses inside one operation on the CPU; OpenMP keeps that number per calling thread.

Prism shares its cores with Weaviate, its own event loop and its decoders, and a barrier among threads costs
more than the work of a small operation: preparing a picture took 9-26 ms with two threads and 3-6 ms with
one on a busy machine, a forward pass of the bundled embedder 166-375 ms and 14-27 ms.
"""

from __future__ import annotations

from typing import Any

import torch

from weaviate_prism.cores import usable_cores

# Below this, matrices are so small that one thread is faster even on an idle machine.
SMALL_MODEL_PARAMETERS = 50_000_000


def use_threads(count: int) -> None:
    """Sets the number for the calling thread; costs nothing when it is set already."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def forward_threads(model: Any) -> int:
    """The number for the forward passes of a model."""
    small = sum(parameter.numel() for parameter in model.parameters()) < SMALL_MODEL_PARAMETERS
    return 1 if small else usable_cores()
