"""A batch that the store does not take, halved until each row that it refuses stands alone; stdlib only.

What is halved is delivered on the way, so that good rows arrive and may be sent again: the store keeps
one of each. Whether a row that is refused alone is at fault, or the store, is for `suspects` to say.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from collector_agent.redaction import clean_message

Row = tuple[str, Sequence[Any]]
Deliver = Callable[[Sequence[Row]], object]


@dataclass(slots=True)
class Sifted:
    """What became of the rows before the position `tested`; nothing is known of those from there on."""

    tested: int = 0
    refused: dict[int, str] = field(default_factory=dict)  # position -> reason
    outage: str = ""  # why the store takes nothing at all, where that came to light

    @property
    def any_taken(self) -> bool:
        return self.tested > len(self.refused)


def sift(
    deliver: Deliver, rows: Sequence[Row], *, hopeless_after: int, is_time_over: Callable[[], bool]
) -> Sifted:
    """Delivers the rows in ever smaller parts, from the first to the last. Never raises.

    It ends early, and says so by `tested`: when the time is over, when the store does not even take an
    empty batch any more, when so many rows were refused and not one was taken.
    """
    sifted = Sifted()
    parts = [(0, len(rows))]
    while parts and not is_time_over():
        start, end = parts.pop()
        reason = refusal(deliver, rows[start:end])
        if reason is None:
            sifted.tested = end
        elif end - start > 1:
            middle = (start + end) // 2
            parts += [(middle, end), (start, middle)]
        else:
            sifted.outage = refusal(deliver, []) or ""
            if sifted.outage:
                break
            sifted.refused[start] = reason
            sifted.tested = end
            if len(sifted.refused) >= hopeless_after and not sifted.any_taken:
                break
    return sifted


def refusal(deliver: Deliver, rows: Sequence[Row]) -> str | None:
    """Why the store does not take the rows; None where it took them."""
    try:
        deliver(rows)
    except Exception as error:  # noqa: BLE001  # whatever it is: the rows stay where they are
        return reason_of(error)
    return None


def reason_of(error: BaseException) -> str:
    """The error in one line, without secrets."""
    text = " ".join(clean_message(error).split())
    return f"{type(error).__name__}: {text}"[:1_000] if text else type(error).__name__
