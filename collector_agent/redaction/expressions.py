"""What secrets and mail addresses look like: the words they begin with, and the expressions to apply there.

Each expression is tried where one of its words stands and nowhere else. Every one runs in linear time: its
repetitions are bounded, or what they repeat is not looked through twice. Compiling them all takes longer
than recording a thousand steps.
"""

import re
from typing import Final

Beginnings = tuple[bytes, ...]

URL_AT: Final = b"://"
URL_CREDENTIALS: Final = re.compile(
    r"(?:[^\s/?#]*@"  # user:password@, up to the last @ before the path
    r"|[^\s/:@]{1,256}:(?!\d{1,5}(?:[/?#\s]|$))[^\s@]{1,256}@)"  # a password with a slash; not host:port
)

_QUOTED: Final = r""""(?:[^"\\\n]|\\.){0,300}"|'(?:[^'\\\n]|\\.){0,300}'"""
# English, German, French, Spanish, Dutch, Portuguese, Polish. triggers.py looks for a part of each.
ASSIGNED_AT: Final[Beginnings] = (
    *(b"pass", b"pwd", b"secret", b"token", b"credential", b"cookie", b"session", b"sig="),
    *(
        b"kennwort",
        b"geheim",
        b"zugangsdaten",
        b"mot",
        b"jeton",
        b"contrase",
        b"wachtwoord",
        b"senha",
        b"has",
    ),
    *(b"api", b"access", b"private", b"account", b"signing", b"encryption"),
    *(b"pin", b"tan", b"otp", b"cvv", b"cvc", b"mdp", b"clave"),
)
ASSIGNED: Final = re.compile(
    r"(?i:(?P<password>passw(?:or)?d|passwort|passphrase|pwd|kennwort|mot[ _\-]?de[ _\-]?passe"
    r"|contrase(?:n|ñ|n\u0303|\W{1,2})a|wachtwoord|senha|has[lł]o"
    r"|(?<![a-z])(?:pass|pin|tan|otp|cvv2?|cvc2?|mdp|clave)(?![a-z]))"
    r"|secret|token|geheim|zugangsdaten|jeton|(?:api|access|private|account|signing|encryption)[_\- ]?key"
    r"|credential|cookie|session[_\-]?id|(?<=[?&])sig(?==))"
    r"""[\w\-]{0,30}(?:\\?["'\])]){0,2}[ \t]{0,5}(?:=>|:=|[:=>]|%3[aAdD])[ \t]{0,5}"""
    rf"(?P<value>{_QUOTED}|[^\s&;]+)"
)

AUTHORIZATION_AT: Final[Beginnings] = (b"bearer", b"authorization")
AUTHORIZATION: Final = re.compile(
    r"(?i)(?:bearer[ \t]{1,5}(?=[\w.~+/=\-]{0,200}\d|[\w.~+/=\-]{20})"
    r"|authorization\\?[\"']?[ \t]{0,5}[:=][ \t]{0,5}\\?[\"']?"
    r"(?:basic|bearer|digest|negotiate|token|apikey)[ \t]{1,5})"
    r"(?P<value>[\w.~+/=\-]{4,})"
)

PRIVATE_KEY_AT: Final = b"-----BEGIN "
PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
    r"(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\Z)"
)

# By a character that all of them have, which is looked for first.
TOKEN_AT: Final[dict[bytes, Beginnings]] = {
    b"_": (
        *(b"sk_", b"pk_", b"rk_", b"whsec_", b"npm_", b"ghp_", b"gho_", b"ghr_", b"ghs_", b"ghu_"),
        b"github_pat_",
    ),
    b"-": (b"sk-", b"xox", b"glpat-"),
    b".": (b"eyJ", b"ya29.", b"SG.", b"hvs."),
    b"A": (b"AIza", b"AKIA", b"ASIA", b"ABIA", b"AIDA", b"AROA"),
}
TOKEN: Final = re.compile(
    r"(?:(?<![\w\-])(?:eyJ[\w\-]{5,}\.[\w\-]{5,}(?:\.[\w\-]*)?"  # JWT
    r"|sk-[\w\-]{16,}|xox[abeprs]-[\w\-]{10,}|glpat-[\w\-]{16,}|AIza[\w\-]{30,}|ya29\.[\w\-]{20,}"
    r"|(?:sk|pk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}|SG\.[\w\-]{16,}\.[\w\-]{16,}|npm_[A-Za-z0-9]{30,}"
    r"|hvs\.[\w\-]{20,})"
    r"|gh[oprsu]_[A-Za-z0-9]{16,}|(?<!\w)github_pat_\w{20,}|(?:A[KSB]IA|AIDA|AROA)[0-9A-Z]{16})"
)

AT_SIGN: Final = re.compile("@|%40")
MAIL_NAME_BACKWARDS: Final = re.compile(r"[\w.%+\-]*")
MAIL_DOMAIN: Final = re.compile(r"(?:[\w\-]+\.)+[^\W\d_]{2,}")

HEX: Final = re.compile(r"[0-9a-fA-F]{32,}=?")
UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
SEPARATOR: Final = re.compile(r"[+/_\-=]")
