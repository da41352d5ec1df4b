"""`rpa-analytics roles`: Postgres' roles with the least rights that agents, DAGs and readers need."""

import argparse
from typing import Any

from analytics_lib.commands.arguments import add_command, add_store, store_location

READER_TIMEOUT_SEC = 60


def add_commands(commands: Any) -> None:
    """Adds `roles` to the command line's commands."""
    roles = add_command(
        commands,
        "roles",
        "Postgres: make the group roles owner, agent, pipeline and reader, or print the SQL that does",
        _roles,
    )
    action = roles.add_mutually_exclusive_group(required=True)
    action.add_argument("--print", action="store_true", dest="shown", help="print the SQL; asks no database")
    action.add_argument("--apply", action="store_true", help="run it, as owner of database and tables")
    add_store(roles)
    roles.add_argument(
        "--prefix", default="rpa", metavar="NAME", help="what the roles' names begin with (default: rpa)"
    )
    roles.add_argument(
        "--reader-timeout",
        type=int,
        default=READER_TIMEOUT_SEC,
        metavar="SECONDS",
        help=f"after which a reader's statement is ended (default: {READER_TIMEOUT_SEC})",
    )


def _roles(arguments: argparse.Namespace) -> int:
    from analytics_lib.store.engine import describe, open_engine
    from analytics_lib.store.roles import apply_roles, roles_sql

    sql = roles_sql(arguments.prefix, arguments.reader_timeout)
    if arguments.shown:
        print(sql, end="")
        return 0
    location = store_location(arguments)
    engine = open_engine(location)
    try:
        apply_roles(engine, sql)
    finally:
        engine.dispose()
    names = ", ".join(f"{arguments.prefix}_{role}" for role in ("owner", "agent", "pipeline", "reader"))
    print(f"{describe(location)} has the roles {names}")
    return 0
