"""`rpa-agent quarantine`: rows of the spool that could not be read or delivered by themselves."""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from analytics_lib import __version__
from analytics_lib.errors import RpaAnalyticsError, SettingsError
from collector_agent.commands.arguments import add_command, add_config, add_json

if TYPE_CHECKING:
    from collector_agent.settings import AgentSettings
    from collector_agent.spool.quarantine import Entry, LocalQuarantine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_quarantine(commands: Any) -> None:
    """The group of commands and their arguments."""
    group = commands.add_parser("quarantine", help="rows that could not be delivered by themselves")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    list_ = add_command(actions, "list", "rows and bytes kept aside on this machine, and why", _list)
    add_config(list_)
    add_json(list_)
    retry = add_command(
        actions, "retry", "put rows back into the spool, to be delivered after all", _changing(_retry)
    )
    discard = add_command(actions, "discard", "remove rows for good", _changing(_discard))
    for parser in (retry, discard):
        parser.add_argument("ids", nargs="*", metavar="ID", help="as `quarantine list` shows them")
        parser.add_argument("--all", action="store_true", help="all that there are")
        add_config(parser)


def _list(arguments: argparse.Namespace) -> int:
    _, quarantine = _opened(arguments)
    entries = _entries(quarantine)
    if arguments.json:
        print(json.dumps([_shown(entry) for entry in entries], indent=2))
        return 0
    for entry in entries:
        what = f"a row of kind {entry.kind}" if entry.kind else f"{len(entry.raw or b''):,} bytes"
        print(f"{_id(entry)}  {_added_at(entry):%Y-%m-%d %H:%M:%S} UTC  {what}")
        print(f"    {entry.reason}")
    print(f"{len(entries)} kept aside in {quarantine.folder}")
    return 0


def _changing(
    change: Callable[["AgentSettings", "LocalQuarantine", list["Entry"]], int],
) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        settings, quarantine = _opened(arguments)
        return change(settings, quarantine, _chosen(arguments, _entries(quarantine)))

    return run


def _retry(settings: "AgentSettings", quarantine: "LocalQuarantine", entries: list["Entry"]) -> int:
    """Into a set of this process: whoever ships delivers it as any other."""
    from collector_agent.spool.writer import SpoolWriter

    writer = SpoolWriter(
        settings.spool, limits=settings.spool_limits, agent_version=__version__, host=settings.host
    )
    try:
        left = [entry for entry in entries if not quarantine.retry(entry, writer)]
    except OSError as error:
        raise RpaAnalyticsError(f"a row is in the spool, and in the quarantine still: {error}") from None
    finally:
        writer.close()
    print(f"{len(entries) - len(left)} rows are in the spool again; the daemon delivers them")
    for entry in left:
        why = writer.last_error if entry.values else "bytes that cannot be read cannot be delivered"
        print(f"{_id(entry)} stays: {why or 'this version cannot read it'}")
    return 1 if left else 0


def _discard(settings: "AgentSettings", quarantine: "LocalQuarantine", entries: list["Entry"]) -> int:
    try:
        for entry in entries:
            quarantine.discard(entry)
    except OSError as error:
        raise RpaAnalyticsError(f"it cannot be removed: {error}") from None
    print(f"{len(entries)} removed")
    return 0


def _opened(arguments: argparse.Namespace) -> tuple["AgentSettings", "LocalQuarantine"]:
    from collector_agent.settings import load_settings_of_this_machine
    from collector_agent.spool.names import QUARANTINE
    from collector_agent.spool.quarantine import LocalQuarantine

    settings = load_settings_of_this_machine(arguments.config)
    return settings, LocalQuarantine(settings.spool / QUARANTINE)


def _entries(quarantine: "LocalQuarantine") -> list["Entry"]:
    try:
        return quarantine.entries()
    except OSError as error:
        raise RpaAnalyticsError(f"the quarantine cannot be read: {error}") from None


def _chosen(arguments: argparse.Namespace, entries: list["Entry"]) -> list["Entry"]:
    if bool(arguments.ids) == arguments.all:
        raise SettingsError("name ids, as `rpa-agent quarantine list` shows them, or --all")
    if arguments.all:
        return entries
    by_id = {_id(entry): entry for entry in entries}
    for name in arguments.ids:
        if name not in by_id:
            raise SettingsError(f"nothing of the id {name!r} is kept aside: see `rpa-agent quarantine list`")
    return [by_id[name] for name in dict.fromkeys(arguments.ids)]


def _id(entry: "Entry") -> str:
    return entry.name.removesuffix(".json")


def _added_at(entry: "Entry") -> datetime:
    return _EPOCH + timedelta(microseconds=entry.added_at_us)


def _shown(entry: "Entry") -> dict[str, Any]:
    return {
        "id": _id(entry),
        "where": entry.where,
        "added_at": _added_at(entry).isoformat(),
        "reason": entry.reason,
        "kind": entry.kind,
        "values": dict(zip(entry.names, entry.values, strict=False)),
        "bytes": None if entry.raw is None else entry.raw.hex(),
    }
