"""The register: what people know about their workflows that the rows do not say.

A workflow that is not in the register has the defaults: its id as name, production, the default time
zone, unattended, no SLA. An alias is another id in the rows (before a rename, say); its rows count for
the workflow that it stands for. Pure, and without pandas until a frame is handed in.
"""

import difflib
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from analytics_lib.errors import SettingsError
from analytics_lib.records import ID_BYTES, NAME_BYTES

if TYPE_CHECKING:
    import pandas as pd

PRODUCTION: Final = "production"
TEST_ENVIRONMENTS: Final = ("test",)
_BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One workflow of the register; every field but the id has the default of an unknown workflow.

    `time_zone` '' means the default zone. `environment` holds for rows that name none; '' becomes
    production. Raises SettingsError.
    """

    workflow_id: str
    display_name: str = ""
    group: str = ""
    owner: str = ""
    time_zone: str = ""
    environment: str = PRODUCTION
    attended: bool = False
    sla_duration_ms: float | None = None
    sla_success_rate: float | None = None

    def __post_init__(self) -> None:
        check_id(self.workflow_id)
        for name in ("display_name", "group", "owner", "environment"):
            problem = _text_problem(
                getattr(self, name), ID_BYTES if name == "environment" else NAME_BYTES, strict=True
            )
            if problem:
                raise self._wrong(name, problem)
        if not isinstance(self.attended, bool):
            raise self._wrong("attended", f"is {self.attended!r}: say true or false")
        self._check_time_zone()
        self._check_sla()
        if not self.environment:
            object.__setattr__(self, "environment", PRODUCTION)

    @property
    def name(self) -> str:
        """What people call it: the display name, else the id."""
        return self.display_name or self.workflow_id

    def _check_time_zone(self) -> None:
        zone = self.time_zone
        if not isinstance(zone, str):
            raise self._wrong("time_zone", f"is {zone!r}, not text")
        try:
            if zone:
                ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            close = difflib.get_close_matches(zone, sorted(available_timezones()), 1)
            hint = f"did you mean {close[0]}?" if close else "use an IANA name such as Europe/Berlin"
            raise self._wrong("time_zone", f"{_short(zone)} is unknown: {hint}") from None

    def _check_sla(self) -> None:
        duration = self.sla_duration_ms
        if duration is not None and not (_is_number(duration) and 0 < duration < 9e18):
            raise self._wrong("sla_duration_ms", f"is {duration!r}: give a positive number, or none")
        rate = self.sla_success_rate
        if rate is not None and not (_is_number(rate) and 0 <= rate <= 1):
            hint = f"; {rate:g} % is {rate / 100:g}" if _is_number(rate) and 1 < rate <= 100 else ""
            raise self._wrong("sla_success_rate", f"is {rate!r}: give a share from 0 to 1{hint}")

    def _wrong(self, name: str, problem: str) -> SettingsError:
        return SettingsError(f"workflow {_short(self.workflow_id)}: {name} {problem}")


@dataclass(frozen=True, slots=True)
class WorkflowChange:
    """What is to be set of one workflow: `values` are fields of `Workflow`, the others stay as they are.

    `aliases`: all of its aliases from now on (None: as they are); then some are added and removed.
    """

    workflow_id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] | None = None
    add_aliases: tuple[str, ...] = ()
    remove_aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Register:
    """All registered workflows and their aliases; answers for unknown workflows too. Made by `of`."""

    workflows: Mapping[str, Workflow] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, workflows: Iterable[Workflow] = (), aliases: Mapping[str, str] | None = None) -> "Register":
        """A checked register; aliases: other id → workflow_id. Raises SettingsError.

        >>> invoices = Workflow(workflow_id="invoices", display_name="Invoice intake")
        >>> register = Register.of([invoices], {"invoices-v1": "invoices"})
        >>> register.display_name("invoices-v1"), register.display_name("payroll")
        ('Invoice intake', 'payroll')
        """
        by_id: dict[str, Workflow] = {}
        for workflow in workflows:
            if workflow.workflow_id in by_id:
                raise SettingsError(f"workflow {_short(workflow.workflow_id)} is there twice: keep one")
            by_id[workflow.workflow_id] = workflow
        alias_of = dict(aliases or {})
        _check_aliases(by_id, alias_of)
        return cls(by_id, alias_of)

    def canonical(self, workflow_id: str) -> str:
        """The id that the rows count for: an alias's workflow, else the id itself."""
        return self.aliases.get(workflow_id, workflow_id)

    def known(self, workflow_id: str) -> bool:
        """Whether it is in the register, by its id or by an alias."""
        return workflow_id in self.workflows or workflow_id in self.aliases

    def get(self, workflow_id: str) -> Workflow:
        """The workflow of an id or alias; one with the defaults where it is unknown."""
        canonical = self.canonical(workflow_id)
        # Rows may hold an id that the register would not take: it is answered, not checked.
        return self.workflows.get(canonical) or _unchecked(canonical)

    def aliases_of(self, workflow_id: str) -> tuple[str, ...]:
        """The other ids that count for the workflow, sorted."""
        return tuple(sorted(alias for alias, target in self.aliases.items() if target == workflow_id))

    def display_name(self, workflow_id: str) -> str:
        """What people call it: its display name, else its id."""
        return self.get(workflow_id).name

    def time_zone_of(self, workflow_id: str, default: str) -> str:
        """The IANA zone in which the workflow's hours of the week are counted."""
        return self.get(workflow_id).time_zone or default

    def zones(self) -> dict[str, str]:
        """The IANA zone by workflow id, of the workflows that have their own."""
        return {w.workflow_id: w.time_zone for w in self.workflows.values() if w.time_zone}

    def is_attended(self, workflow_id: str) -> bool:
        """Whether a person starts it, so that no run is owed."""
        return self.get(workflow_id).attended

    def apply(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """The frame with canonical workflow ids and effective environments, rows and columns in order.

        Environment: the row's own, else the register's for the workflow, else production. A frame
        without workflow_id (samples) gets environments only. Rows of an alias and of its workflow
        stay apart with the same key: whoever groups by the key merges them.
        """
        columns: dict[str, Any] = {}
        default: Any = PRODUCTION
        if "workflow_id" in frame:
            columns["workflow_id"] = _mapped(frame["workflow_id"], self.canonical)
            default = _mapped(frame["workflow_id"], lambda workflow_id: self.get(workflow_id).environment)
        own = _mapped(frame["environment"], str)
        columns["environment"] = own.where(own != "", default)
        return frame.assign(**columns)


def without_environments(
    frame: "pd.DataFrame", excluded: Iterable[str] = TEST_ENVIRONMENTS
) -> "pd.DataFrame":
    """The rows of other environments, numbered anew; environments as `Register.apply` leaves them."""
    return frame[~frame["environment"].isin(list(excluded))].reset_index(drop=True)


def change(
    rows: Mapping[str, Mapping[str, Any]], aliases: Mapping[str, str], changes: Iterable[WorkflowChange]
) -> Register:
    """The register after the changes. rows: workflow_id → fields, checked only now.

    So a row that is not valid (edited by hand, a zone that is gone) can be put right by a change.
    Raises SettingsError.
    """
    fields = {workflow_id: dict(values) for workflow_id, values in rows.items()}
    alias_of, owned = dict(aliases), aliases_by_workflow(aliases)
    changes = list(changes)
    for one in changes:
        fields.setdefault(one.workflow_id, {}).update(one.values)
        before = owned.get(one.workflow_id, frozenset())
        for alias in one.remove_aliases:
            if alias not in before:
                raise SettingsError(
                    f"{_short(alias)} is no alias of {_short(one.workflow_id)}: nothing to remove"
                )
        for alias in before - set(before if one.aliases is None else one.aliases) | set(one.remove_aliases):
            alias_of.pop(alias, None)
    for one in changes:  # only now: an alias may have moved from one workflow to another
        for alias in (*(one.aliases or ()), *one.add_aliases):
            owner = alias_of.setdefault(alias, one.workflow_id)
            if owner != one.workflow_id:
                raise SettingsError(
                    f"{_short(alias)} is an alias of {_short(owner)} already: remove it there before "
                    f"{_short(one.workflow_id)} gets it"
                )
    return Register.of(
        (Workflow(**{**values, "workflow_id": key}) for key, values in fields.items()), alias_of
    )


def aliases_by_workflow(aliases: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """workflow_id → its aliases, of those that have any."""
    found: dict[str, set[str]] = {}
    for alias, workflow_id in aliases.items():
        found.setdefault(workflow_id, set()).add(alias)
    return {workflow_id: frozenset(owned) for workflow_id, owned in found.items()}


def check_id(workflow_id: object, what: str = "workflow id") -> None:
    """Raises SettingsError unless rows can have such an id: text, not empty, no control characters."""
    problem = _text_problem(workflow_id, NAME_BYTES, strict=False)
    if workflow_id == "":
        problem = "is empty: name it"
    if problem:
        raise SettingsError(f"{what} {_short(workflow_id)} {problem}")


def _check_aliases(workflows: Mapping[str, Workflow], aliases: Mapping[str, str]) -> None:
    for alias, target in aliases.items():
        check_id(alias, "alias")
        check_id(target)
        if alias == target:
            raise SettingsError(f"alias {_short(alias)} names itself: give the id that it stands for")
        if _end_of(alias, aliases) is None:
            raise SettingsError(
                f"{_short(alias)} and {_short(target)} stand for each other, in a circle of aliases: choose "
                "the id that stays, and make the others its aliases"
            )
    for alias, target in aliases.items():
        if alias in workflows:
            raise SettingsError(
                f"{_short(alias)} would be an alias of {_short(target)} and is registered itself: leave the "
                f"alias out, or take {_short(alias)} out of the register (`rpa-analytics workflows remove`)"
            )
    for alias, target in aliases.items():
        if target in aliases:
            raise SettingsError(
                f"{_short(alias)} is an alias of {_short(target)}, which is an alias itself: make "
                f"{_short(alias)} an alias of {_short(_end_of(alias, aliases))}"
            )


def _end_of(alias: str, aliases: Mapping[str, str]) -> str | None:
    """Where a chain of aliases ends; None where it goes round."""
    end = alias
    for _ in range(len(aliases) + 1):
        if end not in aliases:
            return end
        end = aliases[end]
    return None


def _unchecked(workflow_id: str) -> Workflow:
    workflow = replace(_UNKNOWN)
    object.__setattr__(workflow, "workflow_id", workflow_id)
    return workflow


def _mapped(values: "pd.Series[str]", answer: Callable[[str], str]) -> "pd.Series[str]":
    """answer(value) for every value, asked once for each that is different; a missing one counts as ''."""
    import pandas as pd

    codes, distinct = pd.factorize(values)
    # Code -1, a missing value, takes the last answer.
    answers = pd.Series([answer(value) for value in distinct] + [answer("")])
    return answers.take(codes).set_axis(values.index)


def _text_problem(value: object, limit: int, *, strict: bool) -> str:
    """What is wrong with a text, '' for nothing. Strict: for names, which people read in one line."""
    if not isinstance(value, str):
        return f"is {value!r}, not text"
    try:
        if len(value.encode()) > limit:
            return f"is longer than {limit} bytes: shorten it"
    except UnicodeEncodeError:
        return "contains a lone surrogate: decode the text with its right encoding"
    if any(c < " " or c == "\x7f" for c in value):
        return "contains control characters: use printable text"
    if strict and any(c in _BIDI_CONTROLS or unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in value):
        return "contains control characters: use printable text"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: object) -> str:
    shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return shown if len(shown) <= 80 else shown[:76] + "…" + shown[-1]


_UNKNOWN: Final = Workflow(workflow_id="unknown")
