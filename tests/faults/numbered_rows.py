"""Rows that know what they must look like: each has a robot and a number, and all else follows from those.

A row that comes back is its `(robot, number)` if its content is what the number says, and something else
if not; so whatever a fault loses, doubles or changes shows up in `invariant.judge`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Engine, text

from analytics_lib.record_values import FIELDS
from collector_agent.redaction import clean_message

STEPS: Final = 8
ROWS_PER_RUN: Final = STEPS + 2  # its start, its steps, its end
MESSAGE: Final = "nicht möglich: „no“,\n\\second\tline\x7f 日本 \U0001f600"
COLUMNS: Final = {
    "execution_start": ("execution_id", "workflow_id"),
    "step": (
        *("execution_id", "workflow_id", "step_seq", "step_id", "status"),
        *("duration_ms", "message", "transaction_id"),
    ),
    "execution": ("execution_id", "workflow_id", "status", "duration_ms", "steps_total", "transaction_id"),
}
TABLES: Final = {
    "execution_start": "execution_start",
    "step": "step_metrics",
    "execution": "execution_metrics",
}
Row = tuple[str, int] | tuple[Any, ...]
_STORED_MESSAGE: Final = clean_message(MESSAGE)
_PLACES: Final = {kind: [FIELDS[kind].index(name) for name in names] for kind, names in COLUMNS.items()}


def record(collector: Any, robot: str, number: int) -> None:
    """The robot says what its row of this number says."""
    run, place = divmod(number, ROWS_PER_RUN)
    execution_id, duration_ms = f"{robot}.{run}", _duration_ms(number)
    if place == 0:
        collector.record_execution_start(execution_id, f"workflow {run % 5}")
    elif place > STEPS:
        told = {"steps_total": STEPS, "transaction_id": f"#{number}"}
        collector.record_execution_complete(execution_id, status="completed", duration_ms=duration_ms, **told)
    elif number % 3:
        collector.record_step(execution_id, f"step {place}", status="completed", duration_ms=duration_ms)
    else:
        told = {"message": MESSAGE, "transaction_id": f"#{number}"}
        collector.record_step(execution_id, f"step {place}", status="failed", duration_ms=duration_ms, **told)


def rows(robot: str, until: int, since: int = 0) -> Iterator[Row]:
    return ((robot, number) for number in range(since, until))


def row_of(kind: str, columns: Sequence[Any]) -> Row:
    """(robot, number) of COLUMNS[kind]; the columns themselves where they are not what these say."""
    robot, _, run = str(columns[0]).rpartition(".")
    place = columns[2] if kind == "step" else STEPS + 1 if kind == "execution" else 0
    if run.isdecimal() and type(place) is int:
        number = int(run) * ROWS_PER_RUN + place
        if tuple(columns) == _expected(robot, number):
            return robot, number
    return (kind, *columns)


def row_of_values(kind: str, values: Sequence[Any]) -> Row | None:
    """The same of a spool's record; None for kinds that are not numbered, such as heartbeats."""
    return row_of(kind, [values[at] for at in _PLACES[kind]]) if kind in _PLACES else None


def rows_in_database(engine: Engine, robots: str = "%") -> Iterator[Row]:
    """Every numbered row that is stored, of robots whose name is LIKE this; and every quarantined one."""
    schema = "" if engine.dialect.name == "sqlite" else "rpa."
    with engine.connect() as connection:
        for kind, table in TABLES.items():
            query = f"SELECT {', '.join(COLUMNS[kind])} FROM {schema}{table} WHERE execution_id LIKE :robots"
            for columns in connection.execute(text(query), {"robots": f"{robots}.%"}):
                yield row_of(kind, columns)
        aside = text(f"SELECT record_kind, reason, payload FROM {schema}quarantine")
        yield from (("quarantined", *columns) for columns in connection.execute(aside))


def _duration_ms(number: int) -> float:
    return number % 8000 / 8 + 0.125


def _expected(robot: str, number: int) -> tuple[Any, ...]:
    """What COLUMNS of its kind hold."""
    run, place = divmod(number, ROWS_PER_RUN)
    known = (f"{robot}.{run}", f"workflow {run % 5}")
    if place == 0:
        return known
    if place > STEPS:
        return (*known, "completed", _duration_ms(number), STEPS, f"#{number}")
    said = ("", "") if number % 3 else (_STORED_MESSAGE, f"#{number}")
    return (
        *known,
        place,
        f"step {place}",
        "completed" if number % 3 else "failed",
        _duration_ms(number),
        *said,
    )
