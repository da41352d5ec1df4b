"""Made-up secrets to plant wherever text comes in, and the search for them wherever it is written.

Each secret has text to plant, as a person or a program would write it, and what must be found nowhere
afterwards: as UTF-8, as UTF-16, escaped in JSON, and in Base64 at any place of three bytes.
"""

import json
import random
import string
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from collector_agent.redaction.checksums import IS_VALID, is_card, is_iban

_WORD = string.ascii_lowercase
_TOKEN = string.ascii_letters + string.digits


class Secret(NamedTuple):
    kind: str
    text: str  # to plant
    needle: str  # to look for


def planted(count: int, seed: int) -> list[Secret]:
    """So many of each kind, all different."""
    draw = random.Random(seed)  # noqa: S311  # made-up secrets
    return [Secret(kind, *make(draw)) for _ in range(count) for kind, make in KINDS.items()]


def some(draw: random.Random, alphabet: str, length: int) -> str:
    return "".join(draw.choice(alphabet) for _ in range(length))


def _valid(draw: random.Random, shape: Callable[[random.Random], str], check: Callable[[str], bool]) -> str:
    while True:
        text = shape(draw)
        if check(text):
            return text


def _mail(draw: random.Random) -> tuple[str, str]:
    name = f"{some(draw, _WORD, 9)}.{some(draw, _WORD, 8)}"
    return f"{name}@example.org", name


def _phone(draw: random.Random) -> tuple[str, str]:
    number = some(draw, "123456789", 7)
    return f"+49 170 {number}", number


def _card(draw: random.Random) -> tuple[str, str]:
    digits = _valid(draw, lambda d: "4" + some(d, string.digits, 15), is_card)
    if draw.random() < 0.5:
        return digits, digits
    grouped = " ".join(digits[at : at + 4] for at in range(0, 16, 4))
    return grouped, grouped


def _iban(draw: random.Random) -> tuple[str, str]:
    own = some(draw, string.digits, 18)
    compact = next(iban for n in range(2, 99) if is_iban(iban := f"DE{n:02}{own}"))
    if draw.random() < 0.5:
        return compact, compact[4:]
    grouped = " ".join(compact[at : at + 4] for at in range(0, 22, 4))
    return grouped, grouped[5:]


def _jwt(draw: random.Random) -> tuple[str, str]:
    body = some(draw, _TOKEN, 40)
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.{some(draw, _TOKEN, 30)}", body


def _aws_key(draw: random.Random) -> tuple[str, str]:
    own = some(draw, string.ascii_uppercase + string.digits, 16)
    return f"AKIA{own}", own


def _aws_secret(draw: random.Random) -> tuple[str, str]:
    own = some(draw, _TOKEN + "+/", 40)
    return own, own


def _after(words: tuple[str, ...]) -> Callable[[random.Random], tuple[str, str]]:
    def make(draw: random.Random) -> tuple[str, str]:
        own = some(draw, _TOKEN, 12)
        return draw.choice(words).format(own), own

    return make


def _bearer(draw: random.Random) -> tuple[str, str]:
    own = some(draw, _TOKEN, 30) + "7"
    return f"Bearer {own}", own


def _url(draw: random.Random) -> tuple[str, str]:
    own = some(draw, _TOKEN, 14)
    return f"postgresql://{some(draw, _WORD, 5)}:{own}@db.example/rpa", own


def _private_key(draw: random.Random) -> tuple[str, str]:
    own = some(draw, _TOKEN + "+/", 64)
    return f"-----BEGIN RSA PRIVATE KEY----- {own} -----END RSA PRIVATE KEY-----", own


def _github(draw: random.Random) -> tuple[str, str]:
    own = some(draw, _TOKEN, 36)
    return f"ghp_{own}", own


def _national(
    name: str, shape: Callable[[random.Random], str], before: str = ""
) -> Callable[[random.Random], tuple[str, str]]:
    def make(draw: random.Random) -> tuple[str, str]:
        written = _valid(
            draw, shape, lambda text: IS_VALID[name](text.translate({ord(c): None for c in " .-"}))
        )
        return before + written, written

    return make


def _digits(*groups: int, separator: str = "") -> Callable[[random.Random], str]:
    return lambda draw: separator.join(some(draw, string.digits, length) for length in groups)


def _fiscal_code(draw: random.Random) -> str:
    letters, digits = string.ascii_uppercase, string.digits
    parts = (some(draw, letters, 6), some(draw, digits, 2), draw.choice("ABCDEHLMPRST"))
    return "".join(
        (*parts, some(draw, digits, 2), draw.choice(letters), some(draw, digits, 3), draw.choice(letters))
    )


KINDS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "mail": _mail,
    "phone": _phone,
    "card": _card,
    "iban": _iban,
    "jwt": _jwt,
    "aws access key": _aws_key,
    "aws secret key": _aws_secret,
    "bearer": _bearer,
    "url": _url,
    "private key": _private_key,
    "github": _github,
    "password": _after(
        ("password={}", "pwd: {}", "Passwort: {}", "contraseña={}", "mot de passe: {}", "DB_PASSWORD={}")
    ),
    "api key": _after(("api_key={}", "client_secret: {}", "access-token={}", "apikey={}")),
    "us_ssn": _national(
        "us_ssn", lambda d: f"5{some(d, '123456789', 2)}-{some(d, '123456789', 2)}-{some(d, '123456789', 4)}"
    ),
    "uk_nino": _national("uk_nino", lambda d: f"AB{some(d, string.digits, 6)}C"),
    "de_steuer_id": _national("de_steuer_id", _digits(11)),
    "fr_insee": _national("fr_insee", lambda d: f"1{some(d, string.digits, 14)}"),
    "es_dni": _national("es_dni", lambda d: some(d, string.digits, 8) + d.choice("TRWAGMYFPDXBNJZSQVHLCKE")),
    "it_codice_fiscale": _national("it_codice_fiscale", _fiscal_code),
    "nl_bsn": _national("nl_bsn", _digits(9), "BSN "),
    "be_rijksregister": _national(
        "be_rijksregister",
        lambda d: (
            ".".join((some(d, string.digits, 2), some(d, string.digits, 2), some(d, string.digits, 2)))
            + f"-{some(d, string.digits, 3)}.{some(d, string.digits, 2)}"
        ),
    ),
    "ch_ahv": _national("ch_ahv", lambda d: "756." + _digits(4, 4, 2, separator=".")(d)),
    "pl_pesel": _national("pl_pesel", _digits(11), "PESEL "),
}


def spellings(needle: str) -> Iterator[bytes]:
    """How it may be written."""
    yield needle.encode()
    yield needle.encode("utf-16-le")
    yield needle.encode("utf-16-be")
    yield json.dumps(needle)[1:-1].encode()
    for shift in range(3):
        # Characters that depend on what stands before or behind are left out.
        encoded = b64encode(b"\0" * shift + needle.encode())
        yield encoded[4 if shift else 0 : -4]


def found_in(folders: Iterable[Path], secrets: Iterable[Secret]) -> list[tuple[str, str, str]]:
    """(kind of the secret, its needle, the file) wherever one stands."""
    contents = {
        str(path): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    contents |= {f"name of {name}": name.encode() for name in contents}
    everything = b"\n".join(contents.values())
    found = []
    for secret in secrets:
        for spelling in set(spellings(secret.needle)):
            if len(spelling) >= 6 and spelling in everything:
                found += [
                    (secret.kind, secret.needle, name) for name, data in contents.items() if spelling in data
                ]
    return found
