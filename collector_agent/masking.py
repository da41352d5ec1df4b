"""The expressions that find secrets and personal data in text; loaded with the first text that needs a look.

Every one runs in linear time: either its repetitions are bounded, or it can start only once per run of
the characters it repeats. Compiling them all takes longer than recording a thousand steps.
"""

import re
from typing import Final

# The labels contain no word that any expression below looks for, so that masking twice changes nothing.
_MAIL: Final = "<mail>"
_NUMBER: Final = "<number>"
_HIDDEN: Final = "<hidden>"
# A label may part what stood glued together ("123456789BEARER x1"), and only then a second secret shows.
_PASSES: Final = 4

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


def mask_thoroughly(text: str) -> str:
    """See `collector_agent.redaction.mask`."""
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
