"""Which steps of a batch may be stored already: asked once for each run and recorder, not once for each step.

A step is the same by run, recorder, number and attempt, while its primary key also holds the end time. A
look for each row costs more than half of what its insert costs; most steps arrive in their order, so that
one look at the range of their numbers says that there is none.
"""

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection

from analytics_lib.schema import POSTGRES_SCHEMA
from analytics_lib.store.rows import Layout, Row

_Run = tuple[str, str]  # execution_id, recorder_id
_SQLITE_LOOK: Final = (
    "SELECT 1 FROM step_metrics "
    "WHERE execution_id = ? AND recorder_id = ? AND step_seq BETWEEN ? AND ? LIMIT 1"
)
# LIMIT in a lateral join: one look into the index for each, whatever the planner thinks of the table.
_POSTGRES_LOOK: Final = f"""
    SELECT asked.run, asked.recorder
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[]) AS asked(run, recorder, low, high),
    LATERAL (
        SELECT 1 FROM {POSTGRES_SCHEMA}.step_metrics
        WHERE execution_id = asked.run AND recorder_id = asked.recorder
        AND step_seq BETWEEN asked.low AND asked.high LIMIT 1
    ) AS found
"""  # noqa: S608  # our own constant


def positions_in_doubt(
    connection: Connection, layout: Layout, rows: Sequence[Row], new_runs: Collection[str] = ()
) -> list[int]:
    """The positions of steps whose key may be stored already, or is in the batch twice.

    Of `new_runs` nothing is stored: this transaction has inserted their keys.
    """
    run_of = itemgetter(layout.position("execution_id"), layout.position("recorder_id"))
    number_of = itemgetter(layout.position("step_seq"))
    numbers: dict[_Run, list[int]] = {}
    for run, of_run in groupby(rows, run_of):
        numbers.setdefault(run, []).extend(map(number_of, of_run))
    doubtful = {run for run, seen in numbers.items() if len(set(seen)) < len(seen)}
    asked = [(*run, min(seen), max(seen)) for run, seen in numbers.items() if run[0] not in new_runs]
    doubtful |= _known(connection, asked) if asked else set()
    return [at for at, row in enumerate(rows) if run_of(row) in doubtful] if doubtful else []


def _known(connection: Connection, asked: Collection[tuple[str, str, int, int]]) -> set[_Run]:
    """The runs and recorders of which a step in the range of numbers is stored."""
    cursor: Any = connection.connection.cursor()
    if connection.dialect.name == "sqlite":
        return {one[:2] for one in asked if cursor.execute(_SQLITE_LOOK, one).fetchone()}
    cursor.execute(_POSTGRES_LOOK, [list(column) for column in zip(*asked, strict=True)])
    return set(cursor.fetchall())
