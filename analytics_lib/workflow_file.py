"""The import file of the register: TOML, or CSV as spreadsheets save it; text in, changes out.

TOML: one `[[workflow]]` table each. CSV: a header row, then one row each, separated by comma, semicolon
or tab; several aliases in one cell are separated by semicolons. Keys and columns: see KEYS. What is not
there stays as it is in the register; what is there and empty goes back to its default.
"""

import csv
import difflib
import io
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from analytics_lib.errors import ImportFileError, SettingsError
from analytics_lib.workflows import Register, Workflow, WorkflowChange

Format = Literal["toml", "csv"]

KEYS: Final = (
    "id",
    "display_name",
    "aliases",
    "group",
    "owner",
    "time_zone",
    "environment",
    "attended",
    "sla_duration",
    "sla_duration_ms",
    "sla_success_rate",
)
_MEANT: Final = {
    "workflow_id": "id",
    "workflow": "id",
    "name": "display_name",
    "alias": "aliases",
    "timezone": "time_zone",
    "zone": "time_zone",
    "workflow_group": "group",
    "unattended": "attended",
    "sla": "sla_duration",
    "success_rate": "sla_success_rate",
}
_UNITS_MS: Final = {
    "ms": 1.0,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1_000.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60_000.0),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000.0),
    **dict.fromkeys(("d", "day", "days"), 86_400_000.0),
}
_AMOUNT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([a-z]+)\s*", re.ASCII)
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}


def parse(text: str, written_in: Format, name: str) -> list[WorkflowChange]:
    """What the file `name` says of each workflow. Raises ImportFileError that says where and what to do."""
    entries = _toml_entries(text, name) if written_in == "toml" else _csv_entries(text, name)
    changes: dict[str, WorkflowChange] = {}
    first_seen: dict[str, str] = {}
    for where, entry in entries:
        try:
            change = _change(entry)
            workflow = Workflow(workflow_id=change.workflow_id, **change.values)
        except SettingsError as error:
            raise ImportFileError(f"{where}: {error}") from None
        if workflow.workflow_id in changes:
            raise ImportFileError(
                f"{where} is in {first_seen[workflow.workflow_id]} already: keep one of the two"
            )
        changes[workflow.workflow_id] = change
        first_seen[workflow.workflow_id] = where.removeprefix(f"{name}, ")
    if not changes:
        wanted = (
            "a [[workflow]] table with an id" if written_in == "toml" else "a header row and a row for each"
        )
        raise ImportFileError(f"{name} names no workflow: write {wanted}")
    _check_aliases(changes, name)
    return list(changes.values())


def duration_ms(text: str) -> float:
    """Milliseconds of a duration with its units. Raises SettingsError.

    >>> duration_ms("5 min"), duration_ms("1h 30m"), duration_ms("2.5 s")
    (300000.0, 5400000.0, 2500.0)
    """
    rest, total = text.strip().lower(), 0.0
    while found := _AMOUNT.match(rest):
        unit = _UNITS_MS.get(found[2])
        if unit is None:
            break
        total += float(found[1]) * unit
        rest = rest[found.end() :]
    if rest or not text.strip():
        raise SettingsError(f"{text[:60]!r} is no duration: write 90 s, 5 min or 1 h 30 min")
    return total


def share(text: str) -> float:
    """A share of 0 to 1 from text, percent or not, with a point or a comma. Raises SettingsError.

    >>> share("0.98"), share("98 %"), share("0,98")
    (0.98, 0.98, 0.98)
    """
    number = re.fullmatch(r"(\d{1,3}(?:[.,]\d{1,9})?)( ?%)?", text.strip(), re.ASCII)
    if number is None:
        raise SettingsError(f"{text[:60]!r} is no share: write 0.98 or 98 %")
    value = float(number[1].replace(",", "."))
    return round(value / 100, 12) if number[2] else value


def _toml_entries(text: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ImportFileError(
            f"{name} is no TOML ({error}): see `rpa-analytics workflows import --help`"
        ) from None
    for key in document:
        if key != "workflow":
            raise ImportFileError(
                f"{name}: unknown {key[:60]!r} at the top: workflows are [[workflow]] tables"
            )
    tables = document.get("workflow", [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise ImportFileError(
            f"{name}: 'workflow' is no list of tables: write [[workflow]] with two brackets"
        )
    for number, table in enumerate(tables, 1):
        where = f"{name}, workflow {number}"
        _check_keys(table, where)
        yield where, table


def _csv_entries(text: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    text = text.removeprefix("\ufeff")
    header_line = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            where = f"{name}, line {reader.line_num}"
            if not any(cells):
                continue
            if not header:
                header = [re.sub(r"[ -]+", "_", cell.lower()) for cell in cells]
                _check_header(header, where)
            elif len(cells) != len(header):
                raise ImportFileError(
                    f"{where} has {len(cells)} cells, the header has {len(header)}: put text with "
                    f"{delimiter!r} in quotes"
                )
            else:
                entry: dict[str, Any] = dict(zip(header, cells, strict=True))
                if "aliases" in entry:
                    entry["aliases"] = [part.strip() for part in entry["aliases"].split(";") if part.strip()]
                yield where, entry
    except csv.Error as error:
        raise ImportFileError(f"{name}, line {reader.line_num} is no CSV ({error}): save it again") from None


def _check_header(header: Sequence[str], where: str) -> None:
    _check_keys(header, where)
    twice = [key for key in header if header.count(key) > 1]
    if twice:
        raise ImportFileError(f"{where}: column {twice[0]!r} is there twice: keep one")


def _check_keys(keys: Mapping[str, Any] | Sequence[str], where: str) -> None:
    for key in keys:
        if key not in KEYS:
            meant = _MEANT.get(key.lower()) or next(iter(difflib.get_close_matches(key.lower(), KEYS, 1)), "")
            hint = f"did you mean {meant!r}?" if meant else f"use any of {', '.join(KEYS)}"
            raise ImportFileError(f"{where}: unknown key {key[:60]!r}: {hint}")
    if "id" not in keys:
        raise ImportFileError(f"{where} has no 'id': give the workflow_id of its rows")


def _change(entry: Mapping[str, Any]) -> WorkflowChange:
    if entry.get("sla_duration", "") != "" and entry.get("sla_duration_ms", "") != "":
        raise SettingsError("sla_duration and sla_duration_ms are both given: keep one")
    values: dict[str, Any] = {}
    for key, value in entry.items():
        field, read = _READERS.get(key, (key, None))
        if field in ("id", "aliases") or (value == "" and field in values):
            continue
        values[field] = read(value) if read else value
    return WorkflowChange(entry["id"], values, _aliases(entry["aliases"]) if "aliases" in entry else None)


def _aliases(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(alias, str) for alias in value):
        return tuple(dict.fromkeys(value))
    raise SettingsError('aliases is no list of texts: write aliases = ["old name"]')


def _flag(value: object) -> object:
    if isinstance(value, str):
        if value.lower() not in _FLAGS:
            raise SettingsError(f"attended is {value[:60]!r}: say true or false")
        return _FLAGS[value.lower()]
    return value


def _duration(value: object) -> float | None:
    if not isinstance(value, str):
        raise SettingsError(f"sla_duration is {value!r}: give the unit too, as in '5 min'")
    return duration_ms(value) if value else None


def _milliseconds(value: object) -> object:
    if isinstance(value, str):
        if value and not re.fullmatch(r"\d{1,18}(\.\d{1,9})?", value, re.ASCII):
            raise SettingsError(f"sla_duration_ms is {value[:60]!r}: give a plain number of milliseconds")
        return float(value) if value else None
    return value


def _rate(value: object) -> object:
    if isinstance(value, str):
        return share(value) if value else None
    return value


_READERS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "attended": ("attended", _flag),
    "sla_duration": ("sla_duration_ms", _duration),
    "sla_duration_ms": ("sla_duration_ms", _milliseconds),
    "sla_success_rate": ("sla_success_rate", _rate),
}


def _check_aliases(changes: Mapping[str, WorkflowChange], name: str) -> None:
    """What the file alone gets wrong, told with its name; the register's own rows come later."""
    aliases: dict[str, str] = {}
    for change in changes.values():
        for alias in change.aliases or ():
            owner = aliases.setdefault(alias, change.workflow_id)
            if owner != change.workflow_id:
                raise ImportFileError(
                    f"{name}: {alias!r} is an alias of {owner!r} and of {change.workflow_id!r}: keep one"
                )
    try:
        Register.of((Workflow(workflow_id=key) for key in changes), aliases)
    except SettingsError as error:
        raise ImportFileError(f"{name}: {error}") from None
