"""Names that mean nothing without a key: the same name gives the same one wherever the key is the same.

HMAC-SHA256 of the name, 80 bits of it as letters. Whoever holds the key can find out whether a name that he
guesses is meant; nobody else can. So the key is a secret: it is in a file that only its owner may read, or
in the environment, and never in a log or a message. Who deletes it makes every pseudonym anonymous.
"""

import contextlib
import hashlib
import hmac
import os
import stat
from pathlib import Path
from typing import Final

from analytics_lib.errors import SettingsError
from collector_agent.machine.locations import KEY_VARIABLE, state_folder
from collector_agent.machine.private_file import open_private

KEY_FILE: Final = "pseudonym.key"  # in the state folder
SHORTEST_KEY: Final = 16
_LARGEST_BYTES: Final = 4096
_LETTERS: Final = (
    "bcdfghjklmnpqrst"  # no digits and no vowels: neither a number nor a word, nor random to masks
)
_DIGEST_BYTES: Final = 10


class Pseudonyms:
    """Names by one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, kind: str, name: str) -> str:
        """'p-' and twenty letters. `kind` keeps a robot and a user of one name apart.

        >>> Pseudonyms(b"0123456789abcdef").of("user", "ada")
        'p-fchmpmbfrsmhqqbgfbrt'
        """
        digest = hmac.digest(self._key, f"{kind}\0{name}".encode(errors="replace"), hashlib.sha256)
        return "p-" + "".join(_LETTERS[byte >> 4] + _LETTERS[byte & 15] for byte in digest[:_DIGEST_BYTES])


def pseudonyms(key_file: Path | None = None) -> Pseudonyms:
    """By the key in RPA_AGENT_PSEUDONYM_KEY, else in the file, else in the state folder's, which is made.

    Raises SettingsError where a key was named that is not there, is too short, or can be read by others.
    """
    if given := os.environ.get(KEY_VARIABLE, "").strip():
        return Pseudonyms(_long_enough(given.encode(), KEY_VARIABLE))
    return Pseudonyms(_read(key_file) if key_file else _own_key(state_folder() / KEY_FILE))


def _own_key(file: Path) -> bytes:
    """This machine's, made where there is none. Several processes may be at it at once: the first wins."""
    with contextlib.suppress(FileNotFoundError):
        return _read(file, must_exist=False)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = file.with_name(f"{os.urandom(8).hex()}.key.new")
        try:
            with open(open_private(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as written:
                written.write(os.urandom(32).hex().encode())
                written.flush()
                os.fsync(written.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(new, file)
        finally:
            new.unlink(missing_ok=True)
        return _read(file)
    except OSError as error:
        raise SettingsError(
            f"no key for pseudonyms can be made in {file} ({error.strerror}): make it, or set {KEY_VARIABLE}"
        ) from None


def _read(file: Path, *, must_exist: bool = True) -> bytes:
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            key = opened.read(_LARGEST_BYTES).strip()
    except FileNotFoundError:
        if not must_exist:
            raise
        raise SettingsError(f"the key file {file} does not exist: make it, or name another") from None
    except OSError as error:
        raise SettingsError(f"the key file {file} cannot be read: {error.strerror}") from None
    if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise SettingsError(f"everybody may read the key file {file}: chmod 600 {file}")
    return _long_enough(key, str(file))


def _long_enough(key: bytes, where: str) -> bytes:
    if len(key) < SHORTEST_KEY:
        raise SettingsError(f"the key in {where} is too short: give at least {SHORTEST_KEY} characters")
    return key


class _ForIds:
    names: "Pseudonyms | None" = None


def id_pseudonym(text: str) -> str:
    """Letters that tell keys with a secret in them apart; where no key can be had, in this process only."""
    if _ForIds.names is None:
        try:
            _ForIds.names = pseudonyms()
        except (SettingsError, OSError):
            _ForIds.names = Pseudonyms(os.urandom(32))
    return _ForIds.names.of("id", text)[2:14]
