"""What may be stored at all, and of whom: attributes by allow-list, persons as pseudonyms or not at all."""

import logging
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from collector_agent.machine.loading import loading
from collector_agent.redaction.cleaning import HIDDEN, clean_message, failures, mask_id, mask_name
from collector_agent.redaction.rules import NATIONAL_IDS, Rules, put_in_force
from collector_agent.redaction.secret_names import is_secret_name

if TYPE_CHECKING:
    from pathlib import Path

    from collector_agent.redaction.pseudonyms import Pseudonyms

TAG: Final = "tag "  # before the name of a tag that became an attribute: see robot_tags.py
ALLOWED_ATTRIBUTES: Final = ("tag", "tags", "tag *", "pabot_*")
PERSONS: Final = (
    *("user*", "login*", "operator*", "employee*", "benutzer*", "mitarbeiter*", "usuario*", "utilisateur*"),
)
ATTENDED: Final = ("attended", "attended-*", "attended_*")
DIMENSIONS_OF_PERSONS: Final = ("robot_id", "host")
# Names that stand for a key elsewhere: what is masked in them must not make one of two.
_IDS: Final = frozenset(("execution_id", "parent_execution_id", "transaction_id", "recorder_id"))
_NAMES: Final = frozenset(
    [
        *("workflow_id", "workflow_version", "environment", "queue", "step_id", "step_name", "step_type"),
        *("suite", "source", *DIMENSIONS_OF_PERSONS),
    ]
)
_LONGEST_NAME: Final = 500  # that anything is stored of
_MOST_NAMED: Final = 100
_SHOWN: Final = 5
_log = logging.getLogger("rpa_agent")


class Redaction:
    """The policy of one collector or importer, with the count of what it dropped. Never raises once made.

    `attributes`: names of attributes that are kept, with * for any characters; all others are dropped and
    counted. `secret_names`: words that make a name secret, in addition to the usual ones: they win over
    `attributes`. `pseudonyms`: fields (robot_id, host) and attributes that are replaced by a keyed pseudonym.
    `attended`: environments whose runs are attended, with *; of these `attended_keeps` says what is kept of
    the person: robot_id, host or names of attributes; everything else that says who it was is left out.
    `national_ids`, `own_patterns` and `long_numbers`: see Rules; they are in force for the whole process.
    """

    def __init__(
        self,
        *,
        attributes: Sequence[str] = ALLOWED_ATTRIBUTES,
        secret_names: Sequence[str] = (),
        pseudonyms: Sequence[str] = PERSONS,
        key_file: "Path | None" = None,
        attended: Sequence[str] = ATTENDED,
        attended_keeps: Sequence[str] = (),
        rules: Rules | None = None,
    ) -> None:
        self._allowed = _matcher(attributes)
        self._secret = tuple(secret_names)
        self._persons = _matcher((*PERSONS, *pseudonyms))
        self._replaced = _matcher(pseudonyms)
        self._attended = _matcher(attended)
        self._kept = _matcher(attended_keeps)
        self._key_file = key_file
        self._names: Pseudonyms | None = None
        if rules is not None:
            put_in_force(rules)
        self.reset()

    def reset(self) -> None:
        """As it was when made: a forked child has dropped nothing."""
        self._lock = threading.RLock()
        self.dropped: Counter[str] = Counter()  # by what, with the reason

    def allowing(self, further: Iterable[str]) -> "Redaction":
        """The same policy with these attributes on its list; they share the count of what was dropped."""
        other = copy(self)
        other._allowed = _Matcher((*self._allowed.patterns, *(name.replace("*", "?") for name in further)))
        return other

    # --- of a record -----------------------------------------------------------------------------------

    def text(self, field: str, value: str, *, is_attended: bool = False) -> str:
        """What may be stored of a record's text field, of any but `message` and the attributes."""
        if field in DIMENSIONS_OF_PERSONS:
            return self.person(field, value, is_attended=is_attended)
        if field in _IDS:
            return mask_id(value)
        return mask_name(value) if field in _NAMES else value

    def person(self, field: str, value: str, *, is_attended: bool = False) -> str:
        """What may be stored of a robot's or a machine's name; '' where nothing may."""
        if not value or (is_attended and not self._kept(field)):
            return ""
        return self._pseudonym(field, value) if self._replaced(field) else mask_name(value)

    def attributes(self, given: Mapping[Any, Any], *, is_attended: bool = False) -> dict[Any, Any]:
        """Those that are allowed, without secrets; what is no text the record will refuse."""
        kept = {}
        for name, value in given.items():
            if type(name) is not str:
                kept[name] = value
                continue
            why = self._why_not(name, value, is_attended)
            if why:
                self._count(name, why)
            elif type(value) is not str:
                kept[name] = value
            elif self._replaced(name):
                if shown := self._pseudonym(name, value):
                    kept[mask_name(name)] = shown
            else:
                kept[mask_name(name)] = mask_name(value)
        return kept

    def is_attended(self, environment: object) -> bool:
        """Whether runs of this environment are of a person at a desk."""
        return type(environment) is str and bool(environment) and self._attended(environment)

    def keeps_host(self, environment: object) -> bool:
        """Whether runs of this environment may carry the machine's name."""
        return not self.is_attended(environment) or self._kept("host")

    def is_secret_name(self, name: str) -> bool:
        return is_secret_name(name, self._secret)

    # --- of a row that is kept aside -------------------------------------------------------------------

    def aside(self, given: Mapping[Any, Any], known: frozenset[str], *, is_attended: bool) -> dict[Any, Any]:
        """The same for what could not be a record: fields that no record has are not kept either."""
        kept: dict[Any, Any] = {}
        for name, value in given.items():
            if name == "attributes" and type(value) is dict:
                kept[name] = self.attributes(value, is_attended=is_attended)
            elif type(name) is str and name not in known:
                kept[name] = HIDDEN
            elif name in DIMENSIONS_OF_PERSONS:
                shown = value if type(value) is str else ""
                kept[name] = self.person(name, shown, is_attended=is_attended)
            else:
                kept[name] = value
        return kept

    # --- what became of it -----------------------------------------------------------------------------

    def problem(self) -> str:
        """What was dropped and how often, the most first; '' where nothing was."""
        with self._lock:
            most = self.dropped.most_common()
        parts = [f"{what}{f' {times} times' if times > 1 else ''}" for what, times in most[:_SHOWN]]
        if len(most) > _SHOWN:
            parts.append(f"{len(most) - _SHOWN} more")
        if n := failures():
            parts.append(f"text that could not be looked through {n} times")
        return f"not stored: {', '.join(parts)}" if parts else ""

    def _why_not(self, name: str, value: object, is_attended: bool) -> str:
        is_plain_tag = name.startswith(TAG) and value == "yes"  # its name is all it says, and is masked
        if not is_plain_tag and self.is_secret_name(name):
            return "its name says that it is secret"
        if not self._allowed(name):
            return "not in the setting attributes"
        if is_attended and self._persons(name) and not self._kept(name):
            return "of a person at an attended robot"
        return ""

    def _pseudonym(self, field: str, value: str) -> str:
        kind = "robot" if field == "robot_id" else field if field == "host" else "user"
        try:
            if self._names is None:
                with loading:  # here: it loads OpenSSL, which most robots never need
                    from collector_agent.redaction.pseudonyms import pseudonyms
                self._names = pseudonyms(self._key_file)
            return self._names.of(kind, value)
        except Exception as error:  # noqa: BLE001  # no key: the name must not be stored as it is
            self._count(field, f"no pseudonym: {clean_message(error)}"[:200])
            return ""

    def _count(self, name: str, why: str) -> None:
        shown = clean_message(name)[:60]
        what = f"{shown!r} ({why})"
        with self._lock:
            is_news = what not in self.dropped
            if is_news and len(self.dropped) >= _MOST_NAMED:
                self.dropped["others"] += 1
                return
            self.dropped[what] += 1
        if is_news:
            _log.warning("%s is not stored (said once; `rpa-agent preview` shows what is)", what)


def _matcher(patterns: Sequence[str]) -> "_Matcher":
    return _Matcher(tuple(patterns))


class _Matcher:
    """Whether a name is one of those, with * for any characters; case does not matter."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.patterns = patterns
        self._expression = _expression(patterns)

    def __call__(self, name: str) -> bool:
        if self._expression is None or len(name) > _LONGEST_NAME:
            return False
        return self._expression.fullmatch(name) is not None


@lru_cache(maxsize=64)
def _expression(patterns: tuple[str, ...]) -> "re.Pattern[str] | None":
    # Each * takes as little as it can, so two of them cost the square of a name's length, which is short.
    alternatives = [".*?".join(map(re.escape, pattern.split("*"))) for pattern in patterns]
    return re.compile("|".join(alternatives), re.IGNORECASE | re.DOTALL) if alternatives else None


__all__ = ["ALLOWED_ATTRIBUTES", "ATTENDED", "NATIONAL_IDS", "PERSONS", "Redaction", "Rules"]
