"""`rpa-analytics workflows`: what people know about their workflows, listed, imported and set."""

import argparse
import difflib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analytics_lib import workflow_file
from analytics_lib.commands.arguments import add_command, add_store, store_location
from analytics_lib.errors import ImportFileError, SettingsError
from analytics_lib.formats import printable
from analytics_lib.windows import to_us
from analytics_lib.workflows import PRODUCTION, Register, WorkflowChange, check_id

if TYPE_CHECKING:
    from analytics_lib.store.workflow_rows import Saved

# What needs the database is imported by the functions that need it: mistakes are answered at once.

_FORMATS: Final[dict[str, workflow_file.Format]] = {".toml": "toml", ".csv": "csv", ".tsv": "csv"}
_EXAMPLE: Final = """\
example (TOML; a CSV file has the same names as columns, several aliases separated by semicolons):
  [[workflow]]
  id = "invoices"                  # as in the rows; the only key that is required
  display_name = "Invoice intake"
  aliases = ["invoices-v1"]        # its other ids: a renamed workflow keeps its history
  group = "Finance"
  owner = "ann@example.com"
  time_zone = "Europe/Berlin"
  environment = "production"       # of rows that name none; "test" stays out of reports
  attended = false                 # true: a person starts it, so that no run is owed
  sla_duration = "5 min"           # or sla_duration_ms = 300000
  sla_success_rate = 0.98
What the file does not name stays as it is; what it names and leaves empty goes back to its default.
"""


def add_commands(commands: Any) -> None:
    """Adds `workflows list|import|set|remove` to the command line's commands."""
    what = "the register: names, aliases, owners, time zones and SLAs of workflows"
    group = commands.add_parser("workflows", help=what, description=what)
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")

    listing = add_command(actions, "list", "the workflows that are registered, and those that are not", _list)
    add_store(listing)
    listing.add_argument("--json", action="store_true", help="as a JSON list, for programs")
    listing.add_argument(
        "--unknown", action="store_true", help="only what rows name and the register does not"
    )

    importing = add_command(actions, "import", "set what a TOML or CSV file says of workflows", _import)
    importing.formatter_class = argparse.RawDescriptionHelpFormatter
    importing.epilog = _EXAMPLE
    importing.add_argument("file", type=Path, metavar="FILE", help="a .toml or .csv file in UTF-8")
    add_store(importing)
    importing.add_argument("--dry-run", action="store_true", help="check the file and say what would change")

    setting = add_command(actions, "set", "set what is given of one workflow; the rest stays", _set)
    setting.add_argument("workflow_id", metavar="WORKFLOW_ID", help="its id, as in the rows")
    add_store(setting)
    setting.add_argument("--display-name", metavar="NAME", help="what people call it ('' for its id)")
    _add_alias(setting, "--alias", "add_aliases", "another id whose rows count for it (repeatable)")
    _add_alias(setting, "--remove-alias", "remove_aliases", "an alias that ends (repeatable)")
    setting.add_argument("--group", metavar="NAME", help="what it belongs to")
    setting.add_argument("--owner", metavar="NAME", help="who is asked about it")
    setting.add_argument("--time-zone", metavar="ZONE", help="IANA zone of its hours ('' for the default)")
    setting.add_argument(
        "--environment", metavar="NAME", help=f"of rows that name none ('' for {PRODUCTION})"
    )
    attended = setting.add_mutually_exclusive_group()
    attended.add_argument(
        "--attended", action="store_true", default=None, help="a person starts it: no run is owed"
    )
    attended.add_argument("--unattended", dest="attended", action="store_false", help="it runs by itself")
    setting.add_argument(
        "--sla-duration", metavar="TIME", help="a run takes no longer: '5 min' ('' for none)"
    )
    setting.add_argument("--sla-success-rate", metavar="SHARE", help="so many complete: 0.98 ('' for none)")

    removing = add_command(
        actions, "remove", "take a workflow and its aliases out of the register; its rows stay", _remove
    )
    removing.add_argument("workflow_id", metavar="WORKFLOW_ID", help="its id, as `workflows list` shows it")
    add_store(removing)


def _add_alias(parser: argparse.ArgumentParser, option: str, name: str, what: str) -> None:
    parser.add_argument(option, dest=name, action="append", default=[], metavar="ID", help=what)


def _list(arguments: argparse.Namespace) -> int:
    from analytics_lib.store import open_store
    from analytics_lib.store.engine import connect_to_read
    from analytics_lib.store.workflow_rows import read_register, unknown_workflows

    with open_store(store_location(arguments)) as store, connect_to_read(store.engine) as connection:
        register = read_register(connection)
        unknown = unknown_workflows(connection, register)
    known = [] if arguments.unknown else sorted(register.workflows)
    if arguments.json:
        print(json.dumps([_as_json(register, one) for one in (*known, *unknown)], indent=2))
        return 0
    for workflow_id in known:
        print(_line(register, workflow_id))
    if unknown:
        print(f"{len(unknown)} not in the register, with defaults ({PRODUCTION}, unattended, no SLA):")
        for workflow_id in unknown:
            print(f"  {printable(workflow_id)}")
        print("set them with `rpa-analytics workflows set` or `workflows import`")
    elif arguments.unknown:
        print("every workflow that rows name is in the register")
    elif not known:
        print("no workflow is in the register, and none has been seen in the rows")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    changes = _read_file(arguments.file)
    _save(arguments, changes, dry_run=arguments.dry_run)
    return 0


def _set(arguments: argparse.Namespace) -> int:
    check_id(arguments.workflow_id)
    names = ("display_name", "group", "owner", "time_zone", "environment", "attended")
    values = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if arguments.sla_duration is not None:
        text = arguments.sla_duration
        values["sla_duration_ms"] = workflow_file.duration_ms(text) if text else None
    if arguments.sla_success_rate is not None:
        text = arguments.sla_success_rate
        values["sla_success_rate"] = workflow_file.share(text) if text else None
    change = WorkflowChange(
        arguments.workflow_id,
        values,
        add_aliases=tuple(arguments.add_aliases),
        remove_aliases=tuple(arguments.remove_aliases),
    )
    print(_line(_save(arguments, [change]), arguments.workflow_id))
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from analytics_lib.store import open_store
    from analytics_lib.store.workflow_rows import remove_workflow

    check_id(arguments.workflow_id)
    with open_store(store_location(arguments)) as store, store.engine.begin() as connection:
        found = remove_workflow(connection, arguments.workflow_id)
    if not found:
        raise SettingsError(
            f"{printable(arguments.workflow_id)} is not in the register: see `rpa-analytics workflows list`"
        )
    print(f"removed {printable(arguments.workflow_id)}; its rows stay and count with the defaults")
    return 0


def _read_file(path: Path) -> list[WorkflowChange]:
    written_in = _FORMATS.get(path.suffix.lower())
    if not path.exists():
        raise ImportFileError(f"{path} does not exist: name a .toml or .csv file")
    if written_in is None or not path.is_file():
        raise ImportFileError(f"{path} is no .toml or .csv file: save the workflows as one of the two")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportFileError(
            f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8 (a spreadsheet: 'CSV UTF-8')"
        ) from None
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read ({error.strerror}): check its permissions") from None
    return workflow_file.parse(text, written_in, path.name)


def _save(
    arguments: argparse.Namespace, changes: Sequence[WorkflowChange], *, dry_run: bool = False
) -> Register:
    """Saves, says what was done and which ids no row names, and gives the register as it is then."""
    from analytics_lib.store import open_store
    from analytics_lib.store.workflow_rows import read_register, save_workflows, seen_workflows

    location = store_location(arguments)
    with open_store(location) as store, store.engine.connect() as connection:
        saved = save_workflows(connection, changes, updated_at_us=to_us(datetime.now(UTC)))
        register = read_register(connection)
        seen = dict.fromkeys(seen_workflows(connection))
        if dry_run:
            connection.rollback()
        else:
            connection.commit()
    for line in _account(saved, dry_run):
        print(line)
    for line in _unseen(changes, seen, register):
        print(line)
    return register


def _account(saved: "Saved", dry_run: bool) -> Iterator[str]:
    for what, ids in (("added", saved.added), ("changed", saved.changed), ("unchanged", saved.unchanged)):
        if ids:
            would = "would be " if dry_run and what != "unchanged" else ""
            yield f"{len(ids)} {would}{what}: {', '.join(map(printable, ids))}"
    if dry_run:
        yield "nothing was written (dry run)"


def _unseen(changes: Sequence[WorkflowChange], seen: Collection[str], register: Register) -> Iterator[str]:
    """Ids that no row names: often a slip, never an error, because a workflow may not have run yet."""
    unknown = [one for one in seen if not register.known(one)]
    ids = [one for c in changes for one in (c.workflow_id, *(c.aliases or ()), *c.add_aliases)]
    unseen = [one for one in ids if one not in seen]
    close = {one: difflib.get_close_matches(one, unknown, 1) for one in unseen} if unknown else {}
    for one, [meant] in ((one, found) for one, found in close.items() if found):
        yield f"note: no row names {printable(one)}: did you mean {printable(meant)}?"
    others = [printable(one) for one in unseen if not close.get(one)]
    if others:
        yield f"note: no row names yet: {', '.join(others)}"


def _line(register: Register, workflow_id: str) -> str:
    """One workflow in one line: its id, then what is known of it."""
    workflow = register.get(workflow_id)
    sla = []
    if workflow.sla_duration_ms is not None:
        sla.append(f"within {_duration(workflow.sla_duration_ms)}")
    if workflow.sla_success_rate is not None:
        sla.append(f"{workflow.sla_success_rate:.6%}".rstrip("0%").rstrip(".") + " % complete")
    aliases = register.aliases_of(workflow_id)
    facts = [
        f'"{printable(workflow.display_name)}"' if workflow.display_name else "",
        f"group {printable(workflow.group)}" if workflow.group else "",
        f"owner {printable(workflow.owner)}" if workflow.owner else "",
        workflow.time_zone,
        printable(workflow.environment),
        "attended" if workflow.attended else "",
        f"SLA {', '.join(sla)}" if sla else "",
        f"aliases {', '.join(map(printable, aliases))}" if aliases else "",
    ]
    return f"{printable(workflow_id)}: " + " · ".join(fact for fact in facts if fact)


def _duration(milliseconds: float) -> str:
    for unit, length_ms in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if milliseconds >= length_ms:
            return f"{milliseconds / length_ms:.6g} {unit}"
    return f"{milliseconds:.6g} ms"


def _as_json(register: Register, workflow_id: str) -> dict[str, Any]:
    return {
        **asdict(register.get(workflow_id)),
        "aliases": register.aliases_of(workflow_id),
        "registered": workflow_id in register.workflows,
    }
