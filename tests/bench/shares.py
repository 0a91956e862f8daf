"""Which part of what goes through Weaviate is Prism's."""

from __future__ import annotations

import os
from pathlib import Path

from servers import Stack

CPU_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Share:
    """What both servers have done since it was made."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._before = self._seconds(), self._cpu()

    def request_seconds(self) -> float:
        """Prism's requests, from their first byte to their answer; above the wall's time where several ran at once."""
        return self._seconds() - self._before[0]

    def cpu(self) -> dict[str, float]:
        """CPU seconds of both, and Prism's part of them."""
        weaviate, prism = (now - before for now, before in zip(self._cpu(), self._before[1], strict=True))
        return {"weaviate_cpu_s": weaviate, "prism_cpu_s": prism, "prism_share_of_cpu": prism / (weaviate + prism)}

    def _seconds(self) -> float:
        return self._stack.prism.metric("prism_request_seconds_sum")

    def _cpu(self) -> tuple[float, float]:
        assert self._stack.weaviate.pid
        return cpu_seconds(self._stack.weaviate.pid), cpu_seconds(self._stack.prism.pid)


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * CPU_TICK
