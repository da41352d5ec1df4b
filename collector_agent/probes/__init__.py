"""Where samples come from: one source per file.

A probe has `read()`, which gives values by the name of their field in ResourceMetrics; None for what is
not known (yet): a rate needs two readings. A probe may raise; whoever asks counts that and goes on. It
belongs to one thread. psutil is imported when a probe is made, or brought along by a test.
"""

from typing import Protocol

Values = dict[str, float | int | None]


class Probe(Protocol):
    """One source of one target's values."""

    def read(self) -> Values: ...
