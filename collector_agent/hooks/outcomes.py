"""How a run or a step ended, told from the exception that ended it or from what the robot says."""

from typing import Any, Final

from collector_agent.redaction import text_of

BusinessClasses = type[BaseException] | tuple[type[BaseException], ...]
_MAX_LEAVES: Final = 100
_SHOWN_LEAVES: Final = 3


class BusinessException(Exception):  # noqa: N818  # the field's own word, as in Robot Framework's RPA
    """The data was wrong, not the automation: raise it, or give your own class this flag."""

    rpa_exception_kind = "business"


def outcome_of(error: BaseException | None, business: BusinessClasses = ()) -> dict[str, Any]:
    """status, exception_kind and message of a run or step that ended so.

    `business`: exception classes of others that say that the data was wrong. Of an exception group all
    that it holds must say so.
    """
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return {"status": "completed"}
    name = type(error).__name__
    # KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError; concurrent.futures has its own.
    if not isinstance(error, Exception) or name == "CancelledError":
        return {"status": "cancelled", "message": message_of(error)}
    return {"status": "failed", "exception_kind": kind_of(error, business), "message": message_of(error)}


def kind_of(error: BaseException, business: BusinessClasses = ()) -> str:
    """'business' or 'application'."""
    is_business = all(_is_business(leaf, business) for leaf in _leaves(error))
    return "business" if is_business else "application"


def message_of(error: BaseException) -> str:
    """The exception's class and text; of a group what it holds, which its own text does not say."""
    if not isinstance(error, BaseExceptionGroup):
        return _named(error, text_of(error))
    leaves = _leaves(error)
    shown = "; ".join(_named(leaf, text_of(leaf)) for leaf in leaves[:_SHOWN_LEAVES])
    more = f" and {len(leaves) - _SHOWN_LEAVES} more" if len(leaves) > _SHOWN_LEAVES else ""
    return _named(error, f"{text_of(error.message)}: {shown}{more}")


def _named(error: BaseException, text: str) -> str:
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _is_business(error: BaseException, business: BusinessClasses) -> bool:
    if getattr(type(error), "rpa_exception_kind", "") == "business":
        return True
    try:
        return isinstance(error, business)
    except TypeError:  # what was given are no classes
        return False


def _leaves(error: BaseException) -> list[BaseException]:
    """The exceptions of a group and of the groups in it, the first ones of very many."""
    leaves: list[BaseException] = []
    around = [error]
    while around and len(leaves) < _MAX_LEAVES:
        first = around.pop(0)
        if isinstance(first, BaseExceptionGroup):
            around[:0] = first.exceptions
        else:
            leaves.append(first)
    return leaves
