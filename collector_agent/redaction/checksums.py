"""Check digits: what looks like a card, an account or a national number, and is one.

Each takes the number without separators and never raises for text of the right characters.
"""

from collections.abc import Callable
from typing import Final

# ISO 13616: the length of an IBAN by country.
_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
IBAN_LENGTH: Final = {country: length for length, of in _COUNTRIES.items() for country in of.split()}
_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")  # the sum of a doubled digit's digits
_LETTER_VALUES: Final = {ord("A") + n: str(10 + n) for n in range(26)}


def is_card(digits: str) -> bool:
    """By Luhn: from the right every second digit doubled, the sum of all digits ends in 0.

    >>> is_card("4111111111111111"), is_card("4111111111111112"), is_card("0000000000000000")
    (True, False, False)
    """
    if not 12 <= len(digits) <= 19 or not digits.isdecimal() or not digits.strip("0"):
        return False
    raw = (digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)).encode()
    # As numbers of characters: so many times that of "0" too much.
    return (sum(raw[-1::-2]) + sum(raw[-2::-2].translate(_DOUBLED)) - ord("0") * len(raw)) % 10 == 0


def is_iban(compact: str) -> bool:
    """By ISO 7064, mod 97-10: the first four characters behind the rest, letters as 10 … 35.

    >>> is_iban("DE89370400440532013000"), is_iban("DE88370400440532013000")
    (True, False)
    """
    upper = compact.upper()
    return IBAN_LENGTH.get(upper[:2]) == len(upper) and _mod_97(upper[4:] + upper[:4]) == 1


def _mod_97(text: str) -> int:
    return int(text if text.isdecimal() else text.translate(_LETTER_VALUES)) % 97


def _de_steuer_id(digits: str) -> bool:
    """ISO 7064, mod 11,10; of the first ten digits one stands there twice or thrice, the others once at most.

    >>> _de_steuer_id("86095742719"), _de_steuer_id("86095742710")
    (True, False)
    """
    first = digits[:10]
    repeats = sorted(count for digit in set(first) if (count := first.count(digit)) > 1)
    if digits[0] == "0" or repeats not in ([2], [3]):
        return False
    product = 10
    for digit in first:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def _fr_insee(text: str) -> bool:
    """97 less the number mod 97; Corsica's letters count as 19 and 18.

    >>> _fr_insee("255081416802538"), _fr_insee("255081416802539")
    (True, False)
    """
    digits = text.upper().replace("2A", "19", 1).replace("2B", "18", 1)
    return digits.isdecimal() and 97 - int(digits[:13]) % 97 == int(digits[13:])


def _es_dni(text: str) -> bool:
    """The letter is the number mod 23; X, Y and Z of foreigners count as 0, 1 and 2.

    >>> _es_dni("12345678Z"), _es_dni("12345678A"), _es_dni("X1234567L")
    (True, False, True)
    """
    upper = text.upper()
    number = {"X": "0", "Y": "1", "Z": "2"}.get(upper[0], upper[0]) + upper[1:-1]
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == upper[-1]


_ODD_DIGITS: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_ODD_LETTERS: Final = (*_ODD_DIGITS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_ODD_VALUES: Final = dict(
    zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (*_ODD_DIGITS, *_ODD_LETTERS), strict=True)
)


def _it_codice_fiscale(text: str) -> bool:
    """The last letter is a sum mod 26, in which odd places count by a table.

    >>> _it_codice_fiscale("RSSMRA85T10A562S"), _it_codice_fiscale("RSSMRA85T10A562T")
    (True, False)
    """
    upper = text.upper()
    even = sum(int(c) if c.isdecimal() else ord(c) - ord("A") for c in upper[1:15:2])
    return chr(ord("A") + (even + sum(_ODD_VALUES[c] for c in upper[0:15:2])) % 26) == upper[15]


def _nl_bsn(digits: str) -> bool:
    """Weights 9 … 2 and -1, mod 11.

    >>> _nl_bsn("111222333"), _nl_bsn("111222334")
    (True, False)
    """
    return (
        sum(int(d) * weight for d, weight in zip(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True)) % 11 == 0
    )


def _be_rijksregister(digits: str) -> bool:
    """97 less the first nine mod 97, with a 2 before them for births since 2000.

    >>> _be_rijksregister("85073003328"), _be_rijksregister("85073003329")
    (True, False)
    """
    checks = (97 - int(century + digits[:9]) % 97 for century in ("", "2"))
    return int(digits[9:]) in checks


def _ch_ahv(digits: str) -> bool:
    """As EAN-13: weights 1 and 3 in turns, the sum ends in 0.

    >>> _ch_ahv("7569217076985"), _ch_ahv("7569217076986")
    (True, False)
    """
    return sum(int(digit) * (1 + 2 * (place % 2)) for place, digit in enumerate(digits)) % 10 == 0


def _pl_pesel(digits: str) -> bool:
    """Weights 1, 3, 7, 9 in turns, the sum ends in 0.

    >>> _pl_pesel("44051401359"), _pl_pesel("44051401358")
    (True, False)
    """
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 10 == 0


def _by_its_shape(_: str) -> bool:
    return True


IS_VALID: Final[dict[str, Callable[[str], bool]]] = {
    "us_ssn": _by_its_shape,  # they have no check digit
    "uk_nino": _by_its_shape,
    "de_steuer_id": _de_steuer_id,
    "fr_insee": _fr_insee,
    "es_dni": _es_dni,
    "it_codice_fiscale": _it_codice_fiscale,
    "nl_bsn": _nl_bsn,
    "be_rijksregister": _be_rijksregister,
    "ch_ahv": _ch_ahv,
    "pl_pesel": _pl_pesel,
}
