"""What the doctor says of one part, and how bad that is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Level = Literal["ok", "note", "warning", "critical"]
LEVELS: Final[tuple[Level, ...]] = ("ok", "note", "warning", "critical")
MOST_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One part. 'note': to be known, and nothing to be done at once. `details`: for programs."""

    subject: str
    level: Level
    text: str  # further lines: what belongs to the first
    details: Mapping[str, Any] = field(default_factory=dict)
