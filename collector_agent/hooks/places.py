"""What is open where the robot is: for each thread and each asyncio task its innermost run or step.

It follows `contextvars`: a task, `asyncio.to_thread` and whatever else copies the context begin where they
were made; a new thread begins outside of everything. Places may close in any order and in another context
than they were opened in (generators, exit stacks, fixtures): a closed one is passed over.
"""

from contextvars import ContextVar


class Place:
    """A run or a step, and what it lies in."""

    __slots__ = ("around", "is_open")

    def __init__(self) -> None:
        self.around: Place | None = None
        self.is_open = False

    def open_here(self, around: "Place | None" = None) -> None:
        """It is the innermost from now on. `around`: what it lies in, where that is not what is open here."""
        self.around = innermost() if around is None else around
        self.is_open = True
        _here.set(self)

    def close(self) -> None:
        self.is_open = False
        if _here.get() is self:
            _here.set(innermost())


_here: ContextVar[Place | None] = ContextVar("rpa_agent_place", default=None)


def innermost() -> Place | None:
    """The innermost place that is open here; None outside of every run."""
    place = _here.get()
    while place is not None and not place.is_open:
        place = place.around
    return place
