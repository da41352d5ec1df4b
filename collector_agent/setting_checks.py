"""What a setting's value has to be; each check gives the value in its type, or says what to write instead.

A check raises ValueError with the rest of a sentence that begins with the setting's name and value. It
takes what TOML gives and what an environment variable gives: text.
"""

import math
import re
from collections.abc import Callable
from typing import Final

from analytics_lib.records import ID_BYTES

_YES: Final = ("true", "yes", "on", "1")
_NO: Final = ("false", "no", "off", "0")
_SIZE: Final = re.compile(r"(?i)\s*(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b|bytes)?\s*")


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("write text in quotes")
    if not value.isprintable() or len(value.encode(errors="replace")) > ID_BYTES:
        raise ValueError(f"use printable text of at most {ID_BYTES} bytes")
    return value.strip()  # `set NAME=value & …` leaves a blank behind on Windows


def location(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("write a folder or a database URL in quotes")
    return value.strip()


def whole_number(at_least: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ValueError(f"give a whole number from {at_least} on")
        return value

    return check


def seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("give a number of seconds")
    if not math.isfinite(value) or not 0 < value <= 86_400:
        raise ValueError("give a number of seconds above 0 and up to a day")
    return float(value)


def yes_or_no(value: object) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (*_YES, True):
        return True
    if word in (*_NO, False):
        return False
    raise ValueError("give true or false")


def list_of_text(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ValueError('give a list of texts, such as ["one", "two"]')
    return tuple(item.strip() for item in items if item.strip())


def patterns(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value  # not split: a comma may belong to the expression
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ValueError("give a list of regular expressions")
    for item in items:
        try:
            re.compile(item)
        except re.error as error:
            raise ValueError(f"{item!r} is no regular expression ({error})") from None
    return tuple(items)


def linear_patterns(value: object) -> tuple[str, ...]:
    """Regular expressions that run in linear time, whatever text they meet."""
    from collector_agent.redaction.own_patterns import check_linear  # here: few have any

    items = patterns(value)
    for item in items:
        try:
            check_linear(item)
        except ValueError as error:
            raise ValueError(f"{item!r} has {error}") from None
    return items


def some_of(*words: str) -> Callable[[object], tuple[str, ...]]:
    def check(value: object) -> tuple[str, ...]:
        items = list_of_text(value)
        for item in items:
            if item not in words:
                raise ValueError(f"{item!r} is not known here: give any of {', '.join(words)}")
        return items

    return check


def bytes_from(at_least: int) -> Callable[[object], int]:
    """A size; whoever writes '500 MB' is told the number."""
    whole = whole_number(at_least)

    def check(value: object) -> int:
        try:
            return whole(value)
        except ValueError:
            meant = ""
            if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
                size = float(found[1]) * (1024 if "i" in found[0].lower() else 1000) ** (
                    1 + "kmgt".index(found[2].lower())
                )
                meant = f"; {value.strip()} is {size:.0f}"
            raise ValueError(f"give a whole number of bytes from {at_least} on{meant}") from None

    return check


def one_of(*words: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        word = value.strip().lower() if isinstance(value, str) else value
        if word not in words:
            raise ValueError(f"give one of {', '.join(words)}")
        return str(word)

    return check


def folder(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("write a folder in quotes")
    if "://" in value:
        raise ValueError("write a folder of this machine, not a URL")
    return value.strip()
