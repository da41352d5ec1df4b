"""Text made safe before it is first written: secrets and personal data masked, unstorable characters out.

A mask is a net, not a proof: it knows the usual shapes. Every expression runs in linear time: either
its repetitions are bounded, or it can start only once per run of the characters it repeats.
"""

import re
from collections.abc import Callable
from typing import Final

from analytics_lib.records import shorten

KEPT_CHARACTERS: Final = 64 * 1024  # of a message, before masking; records keep 8 KB of the result

# The labels contain no word that any expression below looks for, so that masking twice changes nothing.
_MAIL: Final = "<mail>"
_NUMBER: Final = "<number>"
_HIDDEN: Final = "<hidden>"
# A label may part what stood glued together ("123456789BEARER x1"), and only then a second secret shows.
_PASSES: Final = 4

# One quick look decides whether the expensive ones run: most messages hold nothing to mask.
_TRIGGER: Final = re.compile(
    r"@|%40|://|\d[ \-]?\d[ \-]?\d[ \-]?\d|[A-Za-z0-9+/_\-]{16}"
    r"|(?i:pass|pwd|kennwort|token|secret|api.?key|access.?key|private.?key|credential|cookie|session|bearer|auth)"
)

_URL_CREDENTIALS: Final = re.compile(
    r"(?<=://)(?:[^\s/?#]*@"  # user:password@, up to the last @ before the path
    r"|[^\s/:@]{1,256}:(?!\d{1,5}(?:[/?#\s]|$))[^\s@]{1,256}@)"  # a password with a slash; not host:port
)
_QUOTED: Final = r""""(?:[^"\\\n]|\\.){0,300}"|'(?:[^'\\\n]|\\.){0,300}'"""
_ASSIGNED: Final = re.compile(
    r"(?i:(?P<password>passw(?:or)?d|passwort|kennwort|passphrase|pwd)"
    r"|secret|token|api[_\- ]?key|access[_\- ]?key|private[_\- ]?key|credential|cookie|session[_\-]?id)"
    r"""[\w\-]{0,30}["'\])]{0,2}[ \t]{0,5}(?:=>|:=|[:=>])[ \t]{0,5}"""
    rf"(?P<value>{_QUOTED}|[^\s&;]+)"
)
_AUTHORIZATION: Final = re.compile(
    r"(?i)(?P<scheme>bearer[ \t]{1,5}(?=[\w.~+/=\-]{0,200}\d|[\w.~+/=\-]{20})"
    r"|authorization[\"']?[ \t]{0,5}[:=][ \t]{0,5}[\"']?(?:basic|digest|negotiate|token)[ \t]{1,5})"
    r"[\w.~+/=\-]{4,}"
)
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"
)
_KNOWN_TOKEN: Final = re.compile(
    r"(?<![\w\-])(?:eyJ[\w\-]{5,}\.[\w\-]{5,}(?:\.[\w\-]*)?"  # JWT
    r"|sk-[\w\-]{16,}|xox[abeprs]-[\w\-]{10,}|glpat-[\w\-]{16,}|AIza[\w\-]{30,})"
    r"|gh[oprsu]_[A-Za-z0-9]{16,}|(?<!\w)github_pat_\w{20,}|A[KS]IA[0-9A-Z]{16}"
)
_MAIL_ADDRESS: Final = re.compile(r"(?<![\w.%+\-])[\w.%+\-]+(?:@|%40)(?:[\w\-]+\.)+[^\W\d_]{2,}")
# What looks like a long number and is none comes first and is kept.
_LONG_NUMBER: Final = re.compile(
    r"(?P<keep>(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"  # UUID
    r"|\b0x[0-9A-Fa-f]{1,16}\b"
    r"|(?<!\d)(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?(?!\d)"  # date and time
    r"|(?<!\d)(?:19|20)\d{6}[T_\-]\d{6}(?!\d)"  # compact timestamp
    r"|(?<![\w.])\d{1,8}\.\d+(?:[eE][+\-]?\d{1,3})?(?![\w.]))"  # decimals
    r"|\b[A-Z]{2}\d{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,4})?\b"  # IBAN
    r"|(?<!\d)\d{4}(?P<s>[ \-])\d{4}(?P=s)\d{4}(?:(?P=s)\d{1,7}){1,2}(?!\d)"  # card, in fours
    r"|(?<!\d)\d{4}(?P<t>[ \-])\d{6}(?P=t)\d{4,5}(?!\d)"  # card, 4-6-5
    r"|(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"  # social security
    r"|\+\d(?:[ \-/()]{0,2}\d){7,14}"  # telephone
    r"|(?<!\d)\d{3,20}(?:-\d{3,20}){1,6}(?!\d)"  # other numbers with dashes, from nine digits on
    r"|\d{9,}"
)
_RUN: Final = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{32,}={0,2}")
_HEX: Final = re.compile(r"[0-9a-fA-F]{32,}=?")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_SEPARATOR: Final = re.compile(r"[+/_\-=]")

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
    for _ in range(_PASSES):
        masked = _mask_once(text)
        if masked == text:
            break
        text = masked
    return text


def _mask_once(text: str) -> str:
    text = _PRIVATE_KEY.sub(_HIDDEN, text)
    text = _URL_CREDENTIALS.sub(f"{_HIDDEN}@", text)
    text = _AUTHORIZATION.sub(rf"\g<scheme>{_HIDDEN}", text)
    text = _KNOWN_TOKEN.sub(_HIDDEN, text)
    text = _ASSIGNED.sub(_hide_value, text)  # after these, because base64 may spell "pwd"
    text = _MAIL_ADDRESS.sub(_MAIL, text)
    text = _RUN.sub(_hide_if_random, text)
    return _LONG_NUMBER.sub(_hide_number, text)


def _hide_value(match: re.Match[str]) -> str:
    value = match["value"]
    if match["password"] is None and len(value) < 4:
        return match[0]  # "unexpected token: }" is no secret
    before = match[0][: match.start("value") - match.start()]
    quote = value[0] if value[0] in "\"'" and len(value) > 1 and value[-1] == value[0] else ""
    return f"{before}{quote}{_HIDDEN}{quote}"


def _hide_if_random(match: re.Match[str]) -> str:
    """Random strings change between upper case, lower case and digits all the time; names do not."""
    run = match[0]
    if _HEX.fullmatch(run):
        return run if run.isdigit() or run.isalpha() else _HIDDEN
    rest = _UUID.sub("-", run)
    if any(_is_random(part, 32) or _is_random_mixed(part, 20) for part in _SEPARATOR.split(rest)):
        return _HIDDEN
    return _HIDDEN if rest[0] != "/" and _is_random_mixed(rest, 32) else run  # a path begins with a slash


def _is_random(part: str, at_least: int) -> bool:
    if len(part) < at_least or part.isdigit() or part.isalpha():
        return False
    return len(part) <= 4 * len(_WORD.findall(part))


def _is_random_mixed(part: str, at_least: int) -> bool:
    has_both_cases = part.lower() != part and part.upper() != part
    return has_both_cases and _is_random(part, at_least)


def _hide_number(match: re.Match[str]) -> str:
    if match["keep"] is not None or sum(map(str.isdigit, match[0])) < 9:
        return match[0]
    return _NUMBER


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
