"""Text made safe before it is first written: secrets and personal data masked, unstorable characters out.

A mask is a net, not a proof: it knows the usual shapes (see masking.py).
"""

import re
from collections.abc import Callable
from typing import Final

from analytics_lib.records import shorten
from collector_agent.machine.loading import loading

KEPT_CHARACTERS: Final = 64 * 1024  # of a message, before masking; records keep 8 KB of the result

# One quick look decides whether the expensive ones run: most messages hold nothing to mask.
_TRIGGER: Final = re.compile(
    r"@|%40|://|\d[ \-]?\d[ \-]?\d[ \-]?\d|[A-Za-z0-9+/_\-]{16}"
    r"|(?i:pass|pwd|kennwort|token|secret|api.?key|access.?key|private.?key|credential|cookie|session|bearer|auth)"
)
_ANSI_COLOUR: Final = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROL_OR_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def mask(text: str) -> str:
    """The text with what must not be stored replaced by <mail>, <number> or <hidden>.

    Masked: mail addresses; numbers of nine digits or more, also as cards, IBANs and telephone numbers;
    JWTs, well-known tokens and keys, long random strings; what follows `password=` and its kin;
    credentials in URLs. Kept: UUIDs, dates and times, decimals, paths.

    >>> mask("login as ada@example.org with password=hunter2 failed for invoice 4711")
    'login as <mail> with password=<hidden> failed for invoice 4711'
    """
    if not _TRIGGER.search(text):
        return text
    try:
        with loading:  # here, because it takes long
            from collector_agent.masking import mask_thoroughly
    except (OSError, ImportError):  # a robot that has no file descriptor left, a disk that fails
        return "<hidden>"
    return mask_thoroughly(text)


def text_of(value: object) -> str:
    """The text of anything: '' for None, and a stand-in where its own `__str__` fails."""
    if isinstance(value, str):
        return str.__str__(value)  # a subclass must not bring its own methods along
    if value is None:
        return ""
    try:
        return str.__str__(str(value))
    except Exception as error:  # noqa: BLE001  # whatever a foreign __str__ raises, the robot goes on
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


def _without(pattern: re.Pattern[str], by: str) -> Callable[[str], str]:
    return lambda text: pattern.sub(by, text) if pattern.search(text) else text


_without_surrogates = _without(_SURROGATE, "\ufffd")
_without_colour = _without(_ANSI_COLOUR, "")
_without_control = _without(_CONTROL, "\ufffd")


def clean_message(text: object) -> str:
    """A message that every database takes and that holds no secret we know the shape of; lines are kept.

    Of long text the first 64 KB; half a secret at the cut would not be recognized, so it goes too.
    """
    whole = text_of(text)
    if len(whole) > KEPT_CHARACTERS:
        whole = whole[:KEPT_CHARACTERS]
        last_space = max(whole.rfind(" ", -1024), whole.rfind("\n", -1024))
        whole = whole[: last_space if last_space > 0 else -1024].rstrip("0123456789 -")
    if whole.isascii() and whole.isprintable():
        return mask(whole)
    whole = _without_surrogates(whole.replace("\r\n", "\n").replace("\r", "\n"))
    return mask(_without_control(_without_colour(whole)))


def clean_name(text: object, limit_bytes: int) -> str:
    """A name on one line without control characters; too long, it ends in a hash of the whole."""
    name = _without_surrogates(text_of(text))
    return shorten(_CONTROL_OR_LINE.sub(" ", name).strip(), limit_bytes)
