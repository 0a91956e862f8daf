"""How many threads torch uses inside one operation on the CPU; OpenMP keeps that number per calling thread."""

from __future__ import annotations

import torch


def use_threads(count: int) -> None:
    """Sets the number for the calling thread; costs nothing when it is set already."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
