"""Keywords of Robot Framework that mean more than themselves: retries and the work items of a queue.

`Wait Until Keyword Succeeds` runs one keyword again and again. `For Each Input Work Item` runs one for
every work item. `Get Input Work Item` and `Release Input Work Item` begin and end one wherever they
stand, and a release says how it went. They are known by their names, because a library may be imported
under another one, and because RPA.Robocorp.WorkItems is not the only one that has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Role = Literal["", "retry", "items", "get", "release"]

TRANSACTION: Final = "TRANSACTION"  # step_type of the step that processes a work item
_ROLES: Final[dict[str, Role]] = {
    "waituntilkeywordsucceeds": "retry",
    "foreachinputworkitem": "items",
    "getinputworkitem": "get",
    "releaseinputworkitem": "release",
}
_STATES: Final = {"done": "done", "failed": "failed"}
_KINDS: Final = {"business": "business", "application": "application"}


def role_of(owner: str | None, name: str | None) -> Role:
    """What a keyword is; '' for nearly all. One without an owner is the robot's own and is what it says.

    >>> role_of("RPA.Robocorp.WorkItems", "For Each Input Work Item"), role_of("BuiltIn", "Log")
    ('items', '')
    >>> role_of("B", "Wait Until Keyword Succeeds"), role_of(None, "Wait Until Keyword Succeeds")
    ('retry', '')
    """
    if not owner or not name:
        return ""
    return _ROLES.get(name.casefold().replace(" ", "").replace("_", ""), "")


@dataclass(slots=True)
class Special:
    """What is known of an open step with a role."""

    role: Role
    children: int = 0
    first_child: str = ""  # its step_id
    are_alike: bool = True
    arguments: Sequence[object] = ()

    def take_child(self, step_id: str) -> None:
        if not self.children:
            self.first_child = step_id
        self.children += 1
        self.are_alike = self.are_alike and step_id == self.first_child

    @property
    def retries(self) -> int:
        """How often the same keyword ran again: a wrapper of that name runs different ones."""
        return self.children - 1 if self.role == "retry" and self.are_alike and self.children else 0


def failure_of_release(arguments: Sequence[object]) -> str | None:
    """exception_kind of a work item released with these arguments: '' where it is done, None where a
    variable hides how it went.

    Nothing of the arguments is kept but whether they are one of these words.

    >>> failure_of_release(["state=FAILED", "exception_type=BUSINESS", "message=ada has no account"])
    'business'
    >>> failure_of_release(["DONE"]), failure_of_release(["${state}"])
    ('', None)
    """
    given: dict[str, str] = {}
    for position, argument in zip(("state", "exception_type", "code", "message"), arguments, strict=False):
        name, separator, value = str(argument)[:100].partition("=")
        is_named = bool(separator) and name in ("state", "exception_type", "code", "message")
        given[name if is_named else position] = value if is_named else name
    state = _STATES.get(_word(given.get("state", "")))
    if state is None:
        return None
    if state == "done":
        return ""
    return _KINDS.get(_word(given.get("exception_type", "")), "application")


def _word(text: str) -> str:
    """The last part of `State.FAILED` and its like, in lower case."""
    return text.strip().rpartition(".")[2].lower()
