"""Network of the whole machine."""

import time
from collections.abc import Callable
from typing import Any

from collector_agent.probes import Values
from collector_agent.probes.rates import Rates


class NetworkProbe:
    """Bytes received and sent per second over all network cards; what stays on the machine does not count."""

    def __init__(self, psutil: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        if psutil is None:
            import psutil
        self._psutil = psutil
        self._rates = Rates(clock)

    def read(self) -> Values:
        cards = {
            name: card
            for name, card in self._psutil.net_io_counters(pernic=True, nowrap=False).items()
            if name not in ("lo", "lo0") and not name.startswith("Loopback")
        }
        return {
            **self._rates.read(
                {
                    "network_received_bytes_per_s": {name: card.bytes_recv for name, card in cards.items()},
                    "network_sent_bytes_per_s": {name: card.bytes_sent for name, card in cards.items()},
                }
            )
        }
