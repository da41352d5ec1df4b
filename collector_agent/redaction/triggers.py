"""One quick look at a text: which kinds of expressions may find something in it. Most find nothing.

It works on bytes, where looking for a word and sorting characters into classes takes a fraction of a
microsecond each; an expression takes ten or more. It may say yes too often, never no too often.
"""

import re
from typing import Final

MAIL: Final = 1
URL: Final = 2
KEY: Final = 4  # a private key's first line
WORD: Final = 8  # password, token … and a sign that may assign to it
RUN: Final = 16  # a long word, as tokens and random strings are
NUMBER: Final = 32

# Parts of the words in expressions.py that are plain ASCII in every spelling, in lower case.
_WORDS: Final = (
    *(b"pass", b"pwd", b"secret", b"token", b"credential", b"cookie", b"session", b"sig="),
    *(b"kennwort", b"geheim", b"zugangsd", b"jeton", b"contrase", b"clave", b"wachtw", b"senha", b"haslo"),
    *(b"has?o", b"authoriz"),
)
_KINDS_OF_KEYS: Final = (b"api", b"access", b"private", b"account", b"signing", b"encrypt")
_SHORT_WORDS: Final = (b"pin", b"tan", b"otp", b"cvv", b"cvc", b"mdp")  # parts of many others
_SHORT_ASSIGNED: Final = re.compile(rb"""(?:pin|tan|otp|cvv|cvc|mdp)[\d"'\])\\ \t]{0,8}(?:[=:>]|%3)""")
_SIGN: Final = re.compile(rb"[=:>]|%0")  # %3 with digits alike
_SIGNS: Final = (b"=", b":", b">", b"%0")
_DIGITS_ALIKE: Final = bytes(ord("0") if chr(n) in "0123456789" else n for n in range(256))
_BEFORE_IT: Final = 64  # characters in which the word stands
_RUN_BYTES: Final = 16
_NUMBER_DIGITS: Final = 6  # a British national number has no more

# What Latin-1 cannot say is "?" here: it may be a digit of another script.
_DIGITS: Final = bytes(ord("0") if chr(n) in "0123456789?" else ord(" ") for n in range(256))
_SEPARATORS: Final = b" -./()_\t\n\xa0"
_RUNS: Final = bytes(
    ord("a") if n < 128 and (chr(n).isalnum() or chr(n) in "+/_-=") else ord(" ") for n in range(256)
)
_LONG_NUMBER: Final = b"0" * _NUMBER_DIGITS
_LONG_RUN: Final = b"a" * _RUN_BYTES


def kinds_to_look_for(text: str) -> int:
    """A sum of the constants above; 0 where nothing can be found.

    >>> kinds_to_look_for("the invoice has no supplier"), kinds_to_look_for("mail to ada@example.org") == MAIL
    (0, True)
    """
    raw = text.encode("latin-1", "replace")
    kinds = 0
    if b"@" in raw or b"%40" in raw:
        kinds |= MAIL
    if b"://" in raw:
        kinds |= URL
    if b"PRIVATE KEY" in raw:
        kinds |= KEY
    if _LONG_RUN in raw.translate(_RUNS):
        kinds |= RUN
    if _LONG_NUMBER in raw.translate(_DIGITS, _SEPARATORS):
        kinds |= NUMBER
    lowered = raw.lower()
    if b"bearer" in lowered or _may_assign(lowered):
        kinds |= WORD
    return kinds


def _may_assign(lowered: bytes) -> bool:
    """Whether before a sign that gives a value there is a word that secrets are called by."""
    plain = lowered.translate(_DIGITS_ALIKE).replace(b"://", b"   ")
    for _ in range(2):  # hours from minutes, minutes from seconds
        plain = plain.replace(b" 00:00", b" 00 00")
    if not any(sign in plain for sign in _SIGNS):
        return False
    before, until = [], 0
    for found in _SIGN.finditer(plain):
        at = found.end()
        before.append(lowered[max(until, at - _BEFORE_IT) : at + 1])
        until = at
    looked_at = b"".join(before)  # not longer than all
    for word in _WORDS:
        if word in looked_at:
            return True
    if b"key" in looked_at and any(kind in looked_at for kind in _KINDS_OF_KEYS):
        return True
    return any(word in looked_at for word in _SHORT_WORDS) and _SHORT_ASSIGNED.search(looked_at) is not None
