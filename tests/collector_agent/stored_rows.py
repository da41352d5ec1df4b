"""What stands in a store that a robot of a test wrote to."""

import sqlite3
from pathlib import Path
from typing import Any


def query(store: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(store / "rpa.sqlite")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def counts(store: Path) -> dict[str, int]:
    tables = ("execution", "execution_start", "execution_metrics", "step_metrics", "quarantine")
    return {table: query(store, f"SELECT COUNT(*) FROM {table}")[0][0] for table in tables}
