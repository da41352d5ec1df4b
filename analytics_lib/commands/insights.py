"""`rpa-analytics insights`: what was found, most important first."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from analytics_lib.commands.arguments import add_command, add_store, store_location

if TYPE_CHECKING:
    import pandas as pd

    from analytics_lib.workflows import Register


def add_commands(commands: Any) -> None:
    """Adds the group with its actions."""
    what = "what the findings mean: trouble, impact, what to do next"
    group = commands.add_parser("insights", help=what, description=what)
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = add_command(actions, "list", "the insights that last, the most important first", _list)
    add_store(listing)
    listing.add_argument("--json", action="store_true", help="as a JSON list with the evidence, for programs")
    listing.add_argument("--all", action="store_true", help="the resolved ones too, after the others")


def _list(arguments: argparse.Namespace) -> int:
    from analytics_lib.store import open_store
    from analytics_lib.store.engine import connect_to_read
    from analytics_lib.store.insight_rows import read_insights
    from analytics_lib.store.workflow_rows import read_register

    with open_store(store_location(arguments)) as store, connect_to_read(store.engine) as connection:
        register = read_register(connection)
        insights = read_insights(connection, resolved=arguments.all)
    if arguments.json:
        print(json.dumps([_as_json(row, register) for row in _rows(insights)], indent=2))
        return 0
    for row in _rows(insights):
        print("\n".join(_lines(row, register)))
    if insights.empty:
        print("no insights" if arguments.all else "no insights that last (--all shows resolved ones)")
    return 0


def _rows(insights: "pd.DataFrame") -> list[dict[str, Any]]:
    columns = insights.astype(object).where(insights.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in columns.to_dict("records")]


def _as_json(row: dict[str, Any], register: "Register") -> dict[str, Any]:
    name = register.display_name(row["workflow_id"])
    return {**row, "display_name": name, "evidence": json.loads(row["evidence"] or "{}")}


def _lines(row: dict[str, Any], register: "Register") -> list[str]:
    """One insight in three lines."""
    from analytics_lib import formats

    name = formats.name_text(register.display_name(row["workflow_id"]), 80)
    facts = [
        row["state"],
        f"severity {row['severity']}",
        f"{row['impact_robot_hours']:.1f} robot hours",
        row["rule"],
        row["environment"],
    ]
    place = f"{row['rank']}." if row["rank"] else "-"
    lines = (
        f"{place} {name}: {row['title']} ({', '.join(facts)})",
        f"   {row['explanation']}",
        f"   Next: {row['action']}",
    )
    return [formats.printable(formats.plain(line)) for line in lines]
