"""Memory of the whole machine, or of the container that we are in."""

from typing import Any

from collector_agent.probes import Values
from collector_agent.probes.limits import Limits


class MemoryProbe:
    """`memory_used_bytes`: what is not available to new programs; caches that can be given up are. In a
    container with a limit: of what it may use."""

    def __init__(self, psutil: Any = None, limits: Limits | None = None) -> None:
        if psutil is None:
            import psutil
        self._psutil = psutil
        self._limits = limits or Limits(of_machine=True)

    def read(self) -> Values:
        memory = self._psutil.virtual_memory()
        limit = self._limits.memory_bytes(memory.total)
        used_of_limit = None if limit is None else self._limits.memory_used_bytes()
        if limit is None or used_of_limit is None:
            used = max(0, memory.total - memory.available)
            return {"memory_used_bytes": used, "memory_total_bytes": memory.total}
        return {"memory_used_bytes": min(used_of_limit, limit), "memory_total_bytes": limit}
