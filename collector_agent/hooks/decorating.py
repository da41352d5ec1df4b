"""Functions whose every call is recorded, sync or async."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, ParamSpec, TypeVar, cast

from collector_agent.redaction import text_of

P = ParamSpec("P")
R = TypeVar("R")


def each_call(
    function: Callable[P, R], opened: Callable[[Any, Any], AbstractContextManager[object]], what: str
) -> Callable[P, R]:
    """The function with `opened(args, kwargs)` around each of its calls.

    Raises TypeError for a generator, and for what cannot be called. `what` to write inside of it instead.
    """
    call = function if hasattr(function, "__code__") else getattr(type(function), "__call__", None)  # noqa: B004  # the method itself is looked at
    if any(is_one(function) or is_one(call) for is_one in (isgeneratorfunction, isasyncgenfunction)):
        raise TypeError(
            f"{text_of(function)} is a generator: its body runs only while somebody iterates, "
            f"so write `with {what}` inside of it"
        )
    if not callable(function):
        raise TypeError(f"{text_of(function)} cannot be called; decorate a function, or write `with {what}`")
    if iscoroutinefunction(function) or iscoroutinefunction(call):

        @wraps(function)
        async def run_awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            with opened(args, kwargs):
                return await cast(Any, function)(*args, **kwargs)

        return cast(Callable[P, R], run_awaited)

    @wraps(function)
    def run_called(*args: P.args, **kwargs: P.kwargs) -> R:
        with opened(args, kwargs):
            return function(*args, **kwargs)

    return run_called
