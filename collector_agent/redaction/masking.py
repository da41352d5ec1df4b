"""What to hide in a text, and the text without it; loaded with the first text that needs a second look."""

import re
from collections.abc import Iterator
from functools import lru_cache
from operator import itemgetter
from typing import Final

from collector_agent.redaction import expressions, triggers
from collector_agent.redaction.looked_at import LookedAt, places
from collector_agent.redaction.national_ids import national_id_spans
from collector_agent.redaction.numbers import Span, account_spans, number_spans
from collector_agent.redaction.rules import Rules

# The labels contain no word that any expression looks for, so that masking twice changes nothing.
MAIL: Final = "<mail>"
HIDDEN: Final = "<hidden>"
# A label may part what stood glued together ("123456789BEARER x1"), and only then a second secret shows.
_PASSES: Final = 4
_SHORTEST_VALUE: Final = 4  # "unexpected token: }" is no secret
_SHORTEST_RUN: Final = 32
_SHORTEST_MIXED: Final = 20
_AWS_SECRET: Final = 40
_start_of: Final = itemgetter(0)
_WORDS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+%.")
_LONG_RUN: Final = b"a" * _SHORTEST_RUN


def mask_thoroughly(text: str, kinds: int, rules: Rules, *, is_name: bool) -> str:
    """`kinds`: see triggers. `is_name`: long numbers and random strings of hexadecimal digits are kept, for
    ids are made of them."""
    for _ in range(_PASSES):
        spans = list(_spans(LookedAt(text), kinds, rules, is_name))
        if not spans:
            break
        text, is_glued = _without(text, spans)
        if not is_glued:
            break
        kinds = triggers.kinds_to_look_for(text)
    return text


def _without(text: str, spans: list[Span]) -> tuple[str, bool]:
    """(the text with the spans' labels, whether a word went on before or behind one of them).

    What overlaps becomes one, by the name of what begins first, or was found first.
    """
    spans.sort(key=_start_of)
    parts: list[str] = []
    at, is_glued = 0, False
    start, end, label = spans[0]
    for next_start, next_end, next_label in [*spans[1:], (len(text) + 1, 0, "")]:
        if next_start < end:
            if next_end > end:
                end, is_glued = next_end, True
            continue
        parts += (text[at:start], label)
        is_glued = is_glued or text[start - 1 : start] in _WORDS or text[end : end + 1] in _WORDS
        at, start, end, label = end, next_start, next_end, next_label
    parts.append(text[at:])
    return "".join(parts), is_glued


def _spans(looked_at: LookedAt, kinds: int, rules: Rules, is_name: bool) -> Iterator[Span]:
    text = looked_at.text
    for own in _compiled(rules.own_patterns):
        yield from ((found.start(), found.end(), HIDDEN) for found in own.finditer(text) if found[0])
    if kinds & triggers.KEY:
        yield from _private_keys(looked_at)
    signs_of_urls: set[int] = set()  # @ that belong to credentials in URLs, and not to a mail address
    if kinds & triggers.URL and kinds & triggers.MAIL:
        for at in places(expressions.URL_AT, looked_at.raw):
            if found := expressions.URL_CREDENTIALS.match(text, at + 3):
                sign = found.start() - 1
                while (sign := text.find("@", sign + 1, found.end())) >= 0:
                    signs_of_urls.add(sign)
                yield found.start(), found.end() - 1, HIDDEN
    if kinds & triggers.WORD:
        yield from _assigned(looked_at)
    if kinds & triggers.RUN:
        yield from _tokens(looked_at)
    if kinds & triggers.MAIL:
        yield from _mails(looked_at, signs_of_urls)
    if kinds & triggers.RUN:
        yield from _random(looked_at, is_name)
    if kinds & (triggers.NUMBER | triggers.RUN):
        yield from _numbers(looked_at, kinds, rules, is_name)


def _numbers(looked_at: LookedAt, kinds: int, rules: Rules, is_name: bool) -> Iterator[Span]:
    """From the most certain on: what is found is not looked at again."""
    accounts = list(account_spans(looked_at))
    looked_at.take(accounts)
    ids = list(national_id_spans(looked_at, rules.national_ids))
    yield from (*accounts, *ids)
    if kinds & triggers.NUMBER:
        looked_at.take(ids)
        yield from number_spans(looked_at, any_long=rules.long_numbers and not is_name)


@lru_cache(maxsize=8)
def _compiled(patterns: tuple[str, ...]) -> tuple["re.Pattern[str]", ...]:
    return tuple(map(re.compile, patterns))


def _private_keys(looked_at: LookedAt) -> Iterator[Span]:
    done = 0
    for at in places(expressions.PRIVATE_KEY_AT, looked_at.raw):
        if at >= done and (found := expressions.PRIVATE_KEY.match(looked_at.text, at)):
            done = found.end()
            yield at, done, HIDDEN


def _assigned(looked_at: LookedAt) -> Iterator[Span]:
    """What follows `password=` and its kin, and what an authorization header holds."""
    text, lowered = looked_at.text, looked_at.lowered
    for beginning in expressions.AUTHORIZATION_AT:
        for at in places(beginning, lowered):
            if found := expressions.AUTHORIZATION.match(text, at):
                yield found.start("value"), found.end("value"), HIDDEN
    for beginning in expressions.ASSIGNED_AT:
        done = 0
        for at in places(beginning, lowered):
            if at < done or (found := expressions.ASSIGNED.match(text, at)) is None:
                continue
            start, end = found.span("value")
            done = end
            if found["password"] is None and end - start < _SHORTEST_VALUE:
                continue
            is_quoted = end - start > 1 and text[start] in "\"'" and text[end - 1] == text[start]
            yield start + is_quoted, end - is_quoted, HIDDEN


def _tokens(looked_at: LookedAt) -> Iterator[Span]:
    text = looked_at.text
    words = b" ".join(looked_at.raw[start:end] for start, end in looked_at.long_words())
    for sign, beginnings in expressions.TOKEN_AT.items():
        if sign not in (looked_at.raw if sign == b"." else words):
            continue
        for beginning in beginnings:
            done = 0
            for at in places(beginning, looked_at.raw) if beginning in words else ():
                if at >= done and (found := expressions.TOKEN.match(text, at)):
                    done = found.end()
                    yield at, done, HIDDEN


def _mails(looked_at: LookedAt, signs_of_urls: set[int]) -> Iterator[Span]:
    """From each @ backwards to where the name begins, and forwards through the domain."""
    text = looked_at.text
    done = at_before = begun_before = 0
    for sign in expressions.AT_SIGN.finditer(text):
        at = sign.start()
        if at in signs_of_urls:
            done = sign.end()
            continue
        least = max(done, at_before)
        name = expressions.MAIL_NAME_BACKWARDS.match(text[least:at][::-1])
        begun = at - (name.end() if name else 0)
        if begun == at_before and text[at_before] == "%":  # `%40` may be part of a name: it goes on before
            begun = max(done, begun_before)
        at_before, begun_before = at, begun
        if begun < at and (domain := expressions.MAIL_DOMAIN.match(text, sign.end())):
            done = domain.end()
            yield begun, done, MAIL


def _random(looked_at: LookedAt, is_name: bool) -> Iterator[Span]:
    """Random strings change between upper case, lower case and digits all the time; names do not."""
    runs, text = looked_at.runs, looked_at.text
    start = runs.find(_LONG_RUN)
    while start >= 0:
        end = runs.find(b" ", start)
        end = len(runs) if end < 0 else end
        run = text[start:end]
        padding = text[end : end + 2]
        end += len(padding) - len(padding.lstrip("="))
        if _is_random_in_a_name(run) if is_name else _is_random_in_a_message(run):
            yield start, end, HIDDEN
        start = runs.find(_LONG_RUN, end)


def _is_random_in_a_message(run: str) -> bool:
    if expressions.HEX.fullmatch(run):
        return not (run.isdigit() or run.isalpha())
    rest = expressions.UUID.sub("-", run) if "-" in run else run
    parts = [rest] if rest.isalnum() else expressions.SEPARATOR.split(rest)
    return any(map(_is_random, parts)) or (len(parts) > 1 and _is_random_path(rest))


def _is_random_in_a_name(run: str) -> bool:
    """Ids are random, too, but rarely long and of both cases."""
    return _is_random_path(expressions.UUID.sub("-", run))


def _is_random_path(rest: str) -> bool:
    """A path begins with a slash; an AWS secret key, of forty characters, may as well."""
    if (rest[0] == "/" and len(rest) != _AWS_SECRET) or not _has_both_cases(rest):
        return False
    return len(rest) >= _SHORTEST_RUN and _is_random(rest)


def _is_random(part: str) -> bool:
    """Whether words and numbers in it are short; those of one case have to be longer to count."""
    length = len(part)
    if length < _SHORTEST_MIXED or part.isdigit() or part.isalpha():
        return False
    if length < _SHORTEST_RUN and not _has_both_cases(part):
        return False
    return length <= 4 * len(expressions.WORD.findall(part))


def _has_both_cases(part: str) -> bool:
    return part.lower() != part and part.upper() != part
