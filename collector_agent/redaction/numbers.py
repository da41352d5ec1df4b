"""Numbers that belong to somebody: accounts, cards, telephones; in messages any long number.

What looks like a long number and is none (UUIDs, dates and times, decimals) is kept.
"""

import re
from collections.abc import Iterator
from typing import Final

from collector_agent.redaction.checksums import IBAN_LENGTH, is_card, is_iban
from collector_agent.redaction.looked_at import LookedAt, places

CARD: Final = "<card>"
IBAN: Final = "<iban>"
PHONE: Final = "<phone>"
NUMBER: Final = "<number>"
Span = tuple[int, int, str]  # from, to, what to write instead

_LONG_DIGITS: Final = 9
_FEWEST_DIGITS: Final = 8  # of a telephone number
_IBAN_AT: Final = b"AA00"
_DASHES_OF_UUID: Final = 4
_IN_WORDS: Final = b"A0-"
_SIGNS_BEFORE: Final = b"+("
_LONGEST_WORD: Final = 40  # in which a UUID is looked for
_UUID: Final = re.compile(
    r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])|\b0x[0-9A-Fa-f]{1,16}\b"
)
_GOES_ON: Final = frozenset("./-_TabcdefABCDEF")
_CARD_SEPARATORS: Final = frozenset(" \t\xa0\u202f")
_DIGITS: Final = re.compile(r"\d+")
_ABROAD: Final = re.compile(
    r"\+\d(?:[ \-/().]{0,2}\d){7,14}|\(0?\d{2,5}\)[ \-]{0,2}\d{2,4}[ \-]?\d{3,5}(?!\d)"
)
_NUMBER: Final = re.compile(
    r"(?P<card>(?<!\d)(?:\d{4}(?P<s>[ \-./_\t\xa0\u202f]{1,3})\d{4}(?P=s)\d{4}(?:(?P=s)\d{1,7}){1,2}"  # fours
    r"|\d{4}(?P<t>[ \-./_\t\xa0\u202f]{1,3})\d{6}(?P=t)\d{4,5})(?!\d))"
    rf"|(?P<keep>{_UUID.pattern}"
    r"|(?<!\d)(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?(?!\d)"  # date and time
    r"|(?<![\d.])[0-3]\d(?P<d>[./\-])[01]\d(?P=d)(?:19|20)\d\d(?!\d)"  # as most of the world writes a date
    r"|(?<!\d)(?:19|20)\d{6}[T_\-]\d{6}(?!\d)"  # compact timestamp
    r"|(?<![\w.])\d{1,8}\.\d+(?:[eE][+\-]?\d{1,3})?(?![\w.]))"  # decimals
    r"|(?P<phone>(?<![\w.,:/\-+])(?:00[1-9](?:[ \-/]?\d){8,13}|0\d{2,4}[ \-/]{1,3}(?:\d{3,4} )?\d{4,8}"
    r"|0\d(?:[ .\-]\d\d){4}|\d{3}[.]\d{3}[.]\d{4})(?![\w.]?\d))"
    r"|(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"  # social security
    r"|(?<!\d)\d{3,20}(?:-\d{3,20}){1,6}(?!\d)"  # other numbers with dashes, from nine digits on
    r"|\d{9,}"
)


def number_spans(looked_at: LookedAt, *, any_long: bool) -> Iterator[Span]:
    """Cards and telephone numbers; `any_long`: and any other number of nine digits or more."""
    text, shapes, done = looked_at.text, looked_at.shapes, 0
    for start, end in looked_at.digit_zones:
        at = max(start, done)
        if shapes.count(b"0", at, end) < _FEWEST_DIGITS:
            continue
        if at and shapes[at - 1] in _IN_WORDS:
            at = done = max(at, _end_of_uuid(looked_at, at, end))
        while digits := _DIGITS.search(text, at, end):
            first, last = digits.span()
            found = None
            before = shapes[first - 1] if first > done else 0
            if before in _SIGNS_BEFORE:
                found = _ABROAD.match(text, first - 1)
            if found is not None:
                yield first - 1, found.end(), PHONE
            elif _may_be_one(last - first, text[first], text[last : last + 1]):
                found = _NUMBER.match(text, first)
                if found is not None and (label := _label(found, any_long)):
                    yield first, found.end(), label
            at = done = last if found is None else found.end()


def _end_of_uuid(looked_at: LookedAt, at: int, end: int) -> int:
    """Where a UUID or an address that goes on here ends; 0 where there is none."""
    text, begun, end = looked_at.text, _beginning_of_word(looked_at.shapes, at), end + _LONGEST_WORD
    if looked_at.shapes.count(b"-", begun, end) < _DASHES_OF_UUID and b"0x" not in looked_at.raw[begun:end]:
        return 0
    found = _UUID.search(text, begun, end)
    return found.end() if found else 0


def _may_be_one(length: int, digit: str, behind: str) -> bool:
    """Whether so many digits can begin anything that `_NUMBER` knows: most that stand together cannot."""
    if length >= _LONG_DIGITS or digit == "0" or behind in _GOES_ON:
        return True
    return length == 4 and behind in _CARD_SEPARATORS


def _beginning_of_word(shapes: bytes, at: int) -> int:
    begun, least = at, max(0, at - _LONGEST_WORD)
    while begun > least and shapes[begun - 1] in b"A0-":
        begun -= 1
    return begun


def _label(match: "re.Match[str]", any_long: bool) -> str:
    """'' for what is kept."""
    kind, found = match.lastgroup, match[0]  # of groups within each other the outer one, which ends last
    if kind == "keep":
        return ""
    if kind == "phone":
        return PHONE
    if is_card(found) if kind is None else _has_card(found, match["s"] or match["t"]):
        return CARD
    return NUMBER if any_long and sum(map(str.isdigit, found)) >= _LONG_DIGITS else ""


def _has_card(found: str, separator: str) -> bool:
    """A card, also where a group of digits stands before or behind it."""
    if is_card(found.replace(separator, "")):
        return True
    groups = found.split(separator)
    return any(
        is_card("".join(groups[first:last]))
        for first in range(len(groups))
        for last in range(len(groups), first, -1)
    )


def account_spans(looked_at: LookedAt) -> Iterator[Span]:
    """IBANs that are valid."""
    text = looked_at.text
    for at in places(_IBAN_AT, looked_at.shapes):
        length = IBAN_LENGTH.get(text[at : at + 2].upper(), 0)
        if not length or (at and text[at - 1].isalnum()):
            continue
        end, before = at + length, 0
        while end != before:  # blanks and dashes in between do not count
            before = end
            end = at + length + text.count(" ", at, end) + text.count("-", at, end)
        own = text[at:end].replace(" ", "").replace("-", "")
        if len(own) == length and own.isascii() and own.isalnum() and is_iban(own):
            yield at, end, IBAN
