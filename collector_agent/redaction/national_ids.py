"""National numbers of persons, by shape and, where they have one, by check digit.

Those that are nothing but some digits would be found among anybody's numbers by chance (one in eleven of
nine digits passes for a Dutch one): they count only behind their name.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from collector_agent.redaction.checksums import IS_VALID
from collector_agent.redaction.looked_at import LookedAt, places
from collector_agent.redaction.numbers import Span

LABEL: Final = "<id>"


class _Kind(NamedTuple):
    shapes: tuple[bytes, ...]  # of LookedAt.shapes: where it may stand
    expression: "re.Pattern[str]"
    words: tuple[bytes, ...] = ()  # behind which it stands, in lower case; without them anywhere


def _kind(pattern: str, *shapes: bytes, words: tuple[bytes, ...] = ()) -> _Kind:
    return _Kind(shapes, re.compile(pattern), words)


_KINDS: Final = {
    "us_ssn": _kind(
        r"(?<![\d\-])(?!000|666|9)\d{3}([ \-])(?!00)\d\d\1(?!0000)\d{4}(?![\d\-])",
        b"000-00-0000",
        b"000 00 0000",
    ),
    "uk_nino": _kind(
        r"(?<![A-Za-z0-9])(?![DFIQUV]|.[DFIOQUV]|BG|GB|KN|NK|NT|TN|ZZ)[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]"
        r"(?![A-Za-z0-9])",
        *(b"AA000000", b"AA 00 00 00", b"AA 000000"),
    ),
    "de_steuer_id": _kind(
        r"(?<![\d\-])[1-9]\d ?\d{3} ?\d{3} ?\d{3}(?![\d\-])", b"00000000000", b"00 000 000 000"
    ),
    "fr_insee": _kind(
        r"(?<![\d\-])[1-478] ?\d\d ?\d\d ?(?:\d\d|2[ABab]) ?\d{3} ?\d{3} ?\d\d(?![\d\-])",
        *(b"000000000000000", b"000000A00000000", b"0 00 00 00 000 000 00", b"0 00 00 0A 000 000 00"),
    ),
    "es_dni": _kind(
        r"(?<![A-Za-z0-9])(?:\d{8}|[XYZxyz]-?\d{7})-?[A-HJ-NP-TV-Za-hj-np-tv-z](?![A-Za-z0-9])",
        *(b"00000000A", b"00000000-A", b"A0000000A", b"A0000000-A", b"A-0000000-A"),
    ),
    "it_codice_fiscale": _kind(
        r"(?<![A-Za-z0-9])[A-Za-z]{6}\d\d[A-EHLMPRSTa-ehlmprst]\d\d[A-Za-z]\d{3}[A-Za-z](?![A-Za-z0-9])",
        b"AAAAAA00A00A000A",
    ),
    "nl_bsn": _kind(
        r"\D{0,12}?(?<!\d)(?P<id>\d{9})(?!\d)", words=(b"bsn", b"sofinummer", b"burgerservicenummer")
    ),
    "be_rijksregister": _kind(r"(?<![\d.])\d\d\.\d\d\.\d\d-\d{3}\.\d\d(?!\d)", b"00.00.00-000.00"),
    "ch_ahv": _kind(r"(?<![\d.])756\.\d{4}\.\d{4}\.\d\d(?!\d)", b"000.0000.0000.00"),
    "pl_pesel": _kind(r"\D{0,12}?(?<!\d)(?P<id>\d{11})(?!\d)", words=(b"pesel",)),
}
_AROUND: Final = 3  # letters before and behind the digits
_OUTSIDE_OF_ZONES: Final = (b"AAAAAA00A00A000A", b"000000A00000000", b"0 00 00 0A 000 000 00")
_SEPARATOR: Final = re.compile(r"[ .\-]")
_NO_DIGIT: Final = re.compile(rb"[^0]")
_DIGIT: Final = ord("0")


def national_id_spans(looked_at: LookedAt, names: tuple[str, ...]) -> Iterator[Span]:
    """The valid numbers of these kinds."""
    zones = b"|".join(
        looked_at.shapes[max(0, start - _AROUND) : end + _AROUND] for start, end in looked_at.digit_zones
    )
    for name in names:
        kind = _KINDS[name]
        for word in kind.words:
            for at in places(word, looked_at.lowered):
                found = kind.expression.match(looked_at.text, at + len(word))
                if found is not None and IS_VALID[name](found["id"]):
                    yield found.start("id"), found.end("id"), LABEL
        for shape in kind.shapes:
            if shape not in (looked_at.shapes if shape in _OUTSIDE_OF_ZONES else zones):
                continue
            yield from _of_shape(looked_at, shape, name, kind.expression)


def _of_shape(looked_at: LookedAt, shape: bytes, name: str, expression: "re.Pattern[str]") -> Iterator[Span]:
    text, shapes, length = looked_at.text, looked_at.shapes, len(shape)
    at = shapes.find(shape)
    while at >= 0:
        end = at + length
        if shape[0] == _DIGIT and shapes[at - 1 : at] == b"0":
            is_alone = False  # inside of a longer number: none of it is one
        else:
            is_alone = shape[-1] != _DIGIT or shapes[end : end + 1] != b"0"
            found = expression.match(text, at) if is_alone else None
            if found is not None and IS_VALID[name](_without_separators(found[0])):
                yield found.start(), found.end(), LABEL
        at = shapes.find(shape, at + 1 if is_alone else _end_of_digits(shapes, at))


def _end_of_digits(shapes: bytes, at: int) -> int:
    found = _NO_DIGIT.search(shapes, at + 1)
    return found.start() if found else len(shapes)


def _without_separators(text: str) -> str:
    return text if text.isalnum() else _SEPARATOR.sub("", text)
