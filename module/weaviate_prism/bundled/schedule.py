"""Time budget, learning rate and progress lines of a training stage."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import nn
from torch.optim import AdamW, Optimizer

logger = logging.getLogger(__name__)

_WARM_UP = 0.04
_REPORT_EVERY = 50


def optimizer(parameters: Iterable[nn.Parameter], rate: float) -> AdamW:
    """AdamW with the settings shared by all stages."""
    return AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.02)


@dataclass
class Clock:
    """Counts steps; the rate warms up and then falls along a cosine to nothing at the last step."""

    name: str
    total: int
    seed: int
    stop: int | None = None  # end early, as if interrupted
    _started: float = field(default_factory=time.monotonic)
    _sums: dict[str, float] = field(default_factory=dict)

    def steps(self, adam: Optimizer) -> Iterator[int]:
        """Yield the step numbers and set the rate of each."""
        peaks = [group["lr"] for group in adam.param_groups]
        for step in range(self.stop or self.total):
            for group, peak in zip(adam.param_groups, peaks, strict=True):
                group["lr"] = peak * self._factor(step)
            yield step

    def report(self, step: int, **losses: float) -> None:
        """Collect losses and log their means every fifty steps."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if (step + 1) % _REPORT_EVERY:
            return
        means = " ".join(f"{name} {value / _REPORT_EVERY:.3f}" for name, value in self._sums.items())
        logger.info("%s %d/%d %.0f s %s", self.name, step + 1, self.total, time.monotonic() - self._started, means)
        self._sums.clear()

    def _factor(self, step: int) -> float:
        warm = self.total * _WARM_UP
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / (self.total - warm)))
