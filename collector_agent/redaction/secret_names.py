"""Names of values that are never stored, whatever else is allowed: by their words, in several languages."""

import re
from functools import lru_cache
from typing import Final

from collector_agent.machine.loading import loading

# Found anywhere in a name, separators and case apart: "DB-Password2", "clientSecret", "x_api_key".
_PARTS: Final = (
    *("password", "passwd", "passphrase", "secret", "token", "credential", "cookie", "bearer"),
    *("authorization", "apikey", "accesskey", "privatekey", "accountkey", "signingkey", "encryptionkey"),
    *("sessionid", "creditcard", "cardnumber", "accountnumber", "taxid", "nationalid", "socialsecurity"),
    *("birthdate", "dateofbirth", "passport"),
    # German, French, Spanish, and Dutch, Portuguese and Italian
    *("passwort", "kennwort", "geheim", "zugangsdaten", "kontonummer", "kartennummer", "steuerid"),
    *("steuernummer", "sozialversicherung", "geburtsdatum", "geburtstag", "ausweis", "zugangsschluessel"),
    *("motdepasse", "jeton", "codesecret", "cleapi", "cleprivee", "numerosecu", "datedenaissance"),
    *("contrasena", "clavesecreta", "claveprivada", "secreto", "numerodecuenta", "fechadenacimiento"),
    *("wachtwoord", "geboortedatum", "rekeningnummer", "senha", "codicefiscale", "datadinascita"),
)
# Whole words only: they are parts of many others.
_WORDS: Final = frozenset(
    [
        *(
            "pass",
            "pwd",
            "pw",
            "pin",
            "tan",
            "otp",
            "totp",
            "mfa",
            "cvv",
            "cvc",
            "iban",
            "ssn",
            "nino",
            "bsn",
        ),
        *("dni", "nif", "nie", "nir", "insee", "pesel", "auth", "jwt", "session", "dob", "mdp", "clave"),
        *("haslo", "parola"),
    ]
)
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def is_secret_name(name: str, further: tuple[str, ...] = ()) -> bool:
    """Whether a value of this name is a secret; `further` words count, too.

    >>> [name for name in ("userPIN", "pinned", "DB-Passwort", "mot de passe", "Contraseña", "kind")
    ...     if is_secret_name(name)]
    ['userPIN', 'DB-Passwort', 'mot de passe', 'Contraseña']
    """
    return _is_secret(name[:400], further)


@lru_cache(maxsize=2048)
def _is_secret(name: str, further: tuple[str, ...]) -> bool:
    plain = name if name.isascii() else _without_accents(name)
    words = [word.lower() for word in _PART.findall(plain)]
    joined = "".join(words)
    if any(part in joined for part in _PARTS) or not _WORDS.isdisjoint(words):
        return True
    return any("".join(map(str.lower, _PART.findall(_without_accents(word)))) in joined for word in further)


def _without_accents(name: str) -> str:
    with loading:  # here: most names need none
        from unicodedata import normalize
    spelled = name.replace("ß", "ss").replace("ł", "l").replace("Ł", "L")
    return normalize("NFKD", spelled).encode("ascii", "ignore").decode()
