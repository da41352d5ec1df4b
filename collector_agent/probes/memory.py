"""Memory of the whole machine."""

from typing import Any

from collector_agent.probes import Values


class MemoryProbe:
    """`memory_used_bytes`: what is not available to new programs; caches that can be given up are."""

    def __init__(self, psutil: Any = None) -> None:
        if psutil is None:
            import psutil
        self._psutil = psutil

    def read(self) -> Values:
        memory = self._psutil.virtual_memory()
        used = max(0, memory.total - memory.available)
        return {"memory_used_bytes": used, "memory_total_bytes": memory.total}
