"""What every text goes through before it is first written: unstorable characters out, then the masks."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from analytics_lib.records import shorten
from collector_agent.machine.loading import loading
from collector_agent.redaction.rules import Rules, rules_in_force
from collector_agent.redaction.triggers import kinds_to_look_for

KEPT_CHARACTERS: Final = 16 * 1024  # of a message, before masking; records keep 8 KB of the result
HIDDEN: Final = "<hidden>"
_ANSI_COLOUR: Final = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROL_OR_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_Thorough = Callable[..., str]
_thorough: _Thorough | None = None


class _Failures:
    """How many texts were left out because they could not be looked through; of this process."""

    texts = 0


def failures() -> int:
    """How many texts were left out because whatever masks them failed, since the process began."""
    return _Failures.texts


def mask(text: str) -> str:
    """The text of a message with what must not be stored replaced by a label.

    <mail>: mail addresses. <card>, <iban>, <phone>, <id>: numbers that their check digit or shape tells.
    <number>: any other of nine digits or more. <hidden>: JWTs, well-known tokens and keys, long random
    strings; what follows `password=` and its kin; credentials in URLs. Kept: UUIDs, dates and times,
    decimals, paths.

    >>> mask("login as ada@example.org with password=hunter2 failed for invoice 4711")
    'login as <mail> with password=<hidden> failed for invoice 4711'
    """
    return _mask(text, rules_in_force(), is_name=False)


def mask_name(text: str) -> str:
    """The same for a name, in which long numbers and hexadecimal strings tell things apart: they are kept.

    >>> mask_name("Read 20251124093000 of ada@example.org")
    'Read 20251124093000 of <mail>'
    """
    return _mask_name(text, rules_in_force())


def mask_id(text: str) -> str:
    """The same for a key: where something had to be masked, a keyed pseudonym of the whole stands behind it,
    for two keys must not become one.

    >>> mask_id("run-20251124-093000")
    'run-20251124-093000'
    """
    masked = _mask_name(text, rules_in_force())
    return text if masked == text else _told_apart(masked, text)


def mask_line(text: str) -> str:
    """The same for a line of our own log, which is not remembered."""
    return _mask(text[:KEPT_CHARACTERS], rules_in_force(), is_name=True)


@lru_cache(maxsize=4096)
def _mask_name(text: str, rules: Rules) -> str:
    return _mask(text, rules, is_name=True)


def _mask(text: str, rules: Rules, *, is_name: bool) -> str:
    global _thorough  # the module that compiles the expressions, once it was needed
    try:
        kinds = kinds_to_look_for(text)
        if not kinds and not rules.own_patterns:
            return text
        if _thorough is None:
            with loading:  # here, because it takes long
                from collector_agent.redaction.masking import mask_thoroughly
            _thorough = mask_thoroughly
        return _thorough(text, kinds, rules, is_name=is_name)
    except Exception:  # noqa: BLE001  # no file descriptor left to load it, a disk that fails, a fault of ours
        _Failures.texts += 1
        return HIDDEN


def _told_apart(masked: str, text: str) -> str:
    with loading:  # here: it loads OpenSSL, which most robots never need
        from collector_agent.redaction.pseudonyms import id_pseudonym
    return f"{masked[:150]}#{id_pseudonym(text)}"


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


def _without(pattern: "re.Pattern[str]", by: str) -> Callable[[str], str]:
    return lambda text: pattern.sub(by, text) if pattern.search(text) else text


_without_surrogates = _without(_SURROGATE, "\ufffd")
_without_colour = _without(_ANSI_COLOUR, "")
_without_control = _without(_CONTROL, "\ufffd")


def clean_message(text: object) -> str:
    """A message that every database takes and that holds no secret we know the shape of; lines are kept.

    Of long text the first 16 KB; half a secret at the cut would not be recognized, so it goes too.
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
    """A name on one line without control characters and secrets; too long, it ends in a hash of the whole."""
    return shorten(mask_name(_one_line(text)), limit_bytes)


def clean_id(text: object, limit_bytes: int) -> str:
    """The same for a key, which stays another than any other key: see `mask_id`."""
    return shorten(mask_id(_one_line(text)), limit_bytes)


def is_name(text: object, limit_bytes: int) -> bool:
    """Whether it is text on one line that fits, whatever else is in it."""
    return isinstance(text, str) and shorten(_one_line(text), limit_bytes) == text


def _one_line(text: object) -> str:
    return _CONTROL_OR_LINE.sub(" ", _without_surrogates(text_of(text))).strip()
