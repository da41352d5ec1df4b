"""`rpa-analytics outbox`: which mails went out, and sending again what did not for sure."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analytics_lib import formats, settings
from analytics_lib.commands.arguments import add_command, add_store, store_location
from analytics_lib.errors import DeliveryError, SettingsError
from analytics_lib.windows import from_us

if TYPE_CHECKING:
    from analytics_lib.pipeline.outbox import ListedMail

STATES: Final = ("claimed", "sent", "failed", "refused", "unknown")
RESENT: Final = ("failed", "refused", "unknown")


def add_commands(commands: Any) -> None:
    """Adds `outbox list|resend` to the command line's commands."""
    what = "mails: which went out, and sending again what did not for sure"
    group = commands.add_parser("outbox", help=what, description=what)
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")

    listing = add_command(actions, "list", "the mails, the latest first, and what became of each", _list)
    add_store(listing)
    _add_state(listing, STATES, "only mails in this state (repeatable)")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default: 100)")
    listing.add_argument("--json", action="store_true", help="as a JSON list, for programs")

    resending = add_command(
        actions, "resend", "send mails again as they were saved: those of the ids, or all in a state", _resend
    )
    resending.add_argument("ids", nargs="*", metavar="ID", help="as `outbox list` shows it, or how it begins")
    add_store(resending)
    _add_state(resending, RESENT, "all mails in this state (repeatable)")
    resending.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help=f"where the mails were saved (default: {settings.REPORTS_VARIABLE}, else ./reports)",
    )


def _add_state(parser: argparse.ArgumentParser, states: tuple[str, ...], what: str) -> None:
    parser.add_argument("--state", dest="states", action="append", default=[], choices=states, help=what)


def _list(arguments: argparse.Namespace) -> int:
    from analytics_lib import pipeline

    mails = pipeline.list_mails(store_location(arguments), states=arguments.states, limit=arguments.limit)
    if arguments.json:
        print(json.dumps([_as_json(mail) for mail in mails], indent=2))
        return 0
    for mail in mails:
        print(_line(mail))
    found = Counter(mail.row.state for mail in mails)
    print(", ".join(f"{found[state]} {state}" for state in STATES if found[state]) or "no mails")
    if found["unknown"] or found["refused"]:
        print("unknown and refused mails go out again only by `rpa-analytics outbox resend ID`")
    return 0


def _resend(arguments: argparse.Namespace) -> int:
    from analytics_lib import pipeline

    if bool(arguments.ids) == bool(arguments.states):
        raise SettingsError("name either ids of mails or a --state: `rpa-analytics outbox list` shows them")
    result = pipeline.resend_mails(
        store_location(arguments),
        ids=arguments.ids,
        states=arguments.states,
        output_folder=settings.reports_folder(arguments.output),
    )
    print(f"sent {result['sent']}")
    if result["problem"]:
        raise DeliveryError(result["problem"])
    return 0


def _line(mail: "ListedMail") -> str:
    row = mail.row
    when = from_us(row.claimed_at_us).strftime("%Y-%m-%d %H:%M")
    tries = f", {row.attempts} attempts" if row.attempts > 1 else ""
    problem = f": {row.problem}" if row.problem else ""
    what = f"{row.key.report} {row.key.period}" if row.key.report != "insight" else row.subject
    return formats.printable(f"{mail.id}  {when}Z  {row.state}  {row.key.recipient}  {what}{tries}{problem}")


def _as_json(mail: "ListedMail") -> dict[str, Any]:
    row = mail.row
    return {
        "id": mail.id,
        "report": row.key.report,
        "period": row.key.period,
        "recipient": row.key.recipient,
        "state": row.state,
        "claimed_at": from_us(row.claimed_at_us).isoformat(),
        "finished_at": None if row.finished_at_us is None else from_us(row.finished_at_us).isoformat(),
        "attempts": row.attempts,
        "message_id": row.message_id,
        "subject": row.subject,
        "problem": row.problem,
    }
