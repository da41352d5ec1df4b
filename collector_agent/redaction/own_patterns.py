r"""Expressions that people add, and the proof that each runs in linear time.

An expression is taken if the ways in which it can match from one position are few, whatever the text:
every repetition but one at the very end has an upper bound, and the bounds multiplied stay small. So a text
of n characters takes at most n times a constant. What that refuses can be written with bounds:
`[A-Z]{2}-\d{1,12}` for `[A-Z]+-\d+`.

>>> check_linear(r"KD-\d{6}")
>>> check_linear(r"customer \w{1,40}, \w+")
>>> check_linear(r"(a+)+b")
Traceback (most recent call last):
ValueError: a repetition without an upper bound: write {1,64} instead of + and {0,64} instead of *
>>> check_linear(r"(?:a{0,64}){0,64}b")
Traceback (most recent call last):
ValueError: more ways to match than a text can be searched for: make its repetitions smaller
"""

import re
from re import _parser  # type: ignore[attr-defined]  # the library's own reading of it; there is no other
from typing import Any, Final

MOST_WAYS: Final = 4_096
_LONGEST_REPEAT: Final = 1_024
_UNBOUNDED: Final = "a repetition without an upper bound: write {1,64} instead of + and {0,64} instead of *"
_TOO_MANY: Final = "more ways to match than a text can be searched for: make its repetitions smaller"


def check_linear(pattern: str) -> None:
    """Raises ValueError with what is wrong; re.error where it is no expression at all."""
    compiled = re.compile(pattern)
    if compiled.match(""):
        raise ValueError("no character that it needs: let it ask for one at least")
    if _ways(list(_parser.parse(pattern)), is_last=True) > MOST_WAYS:
        raise ValueError(_TOO_MANY)


def _ways(parsed: list[Any], *, is_last: bool) -> int:
    """In how many ways a sequence can match from one position at most."""
    ways = 1
    for at, (kind, argument) in enumerate(parsed):
        ways *= _ways_of(str(kind), argument, is_last=is_last and at == len(parsed) - 1)
        if ways > MOST_WAYS:
            return ways
    return ways


def _ways_of(kind: str, argument: Any, *, is_last: bool) -> int:
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return _ways_of_repeat(kind, argument, is_last=is_last)
    if kind == "SUBPATTERN":
        return _ways(list(argument[-1]), is_last=is_last)
    if kind == "ATOMIC_GROUP":
        return _ways(list(argument), is_last=False)
    if kind == "BRANCH":
        return sum(_ways(list(branch), is_last=is_last) for branch in argument[1])
    if kind in ("ASSERT", "ASSERT_NOT"):
        return _ways(list(argument[1]), is_last=False)
    if kind == "GROUPREF":
        raise ValueError("a reference to what a group matched: write out what it may be")
    if kind == "GROUPREF_EXISTS":
        return sum(_ways(list(part), is_last=False) for part in argument[1:] if part)
    return 1  # a character, a class, a place


def _ways_of_repeat(kind: str, argument: Any, *, is_last: bool) -> int:
    low, high, repeated = argument
    inner = _ways(list(repeated), is_last=False)
    if int(high) > _LONGEST_REPEAT:
        # At the very end nothing can fail any more, so it is never tried again from inside.
        if is_last and kind != "MIN_REPEAT" and inner == 1 and int(low) <= _LONGEST_REPEAT:
            return 1
        raise ValueError(_UNBOUNDED)
    if inner == 1:
        return int(high) - int(low) + 1
    return MOST_WAYS + 1 if int(high) > 12 else sum(inner**n for n in range(int(low), int(high) + 1))
