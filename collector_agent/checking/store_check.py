"""Whether the agent's store takes rows. What is written to see that is rolled back: nothing stays."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from analytics_lib.errors import SchemaVersionError, StoreError
from analytics_lib.records import (
    AgentHeartbeat,
    ExecutionHeartbeat,
    ExecutionMetrics,
    ExecutionStart,
    QuarantinedRecord,
    Record,
    ResourceMetrics,
    StepMetrics,
)
from analytics_lib.schema import SCHEMA_VERSION
from analytics_lib.store.engine import clock_offset_ms, connect_to_read, describe, open_engine, store_url
from analytics_lib.store.rows import LAYOUTS
from analytics_lib.store.versions import check_writable, schema_version
from analytics_lib.store.writing import ROLLUP_STAGE, insert_keys, insert_marks, insert_rows
from collector_agent.redaction import clean_message


@dataclass(frozen=True, slots=True)
class StoreState:
    """How it stands with a store that can be reached. `schema_version`: None where it has no tables yet."""

    location: str  # for people: without a password
    schema_version: int | None
    text: str
    waits: bool = False  # rows are held back until the database is migrated
    clock_offset_ms: float | None = None  # what its clock is ahead of this machine's; None: it has none


def look_at_store(location: str) -> StoreState:
    """How it stands with the store. Raises StoreError where it does not take rows, and says why."""
    url = store_url(location)
    shown = describe(location)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        return _not_there_yet(Path(str(url.database)), shown)
    engine = open_engine(location)
    driver: Any = engine.dialect.dbapi  # inserts use the driver itself, so its errors come unwrapped
    try:
        return _there(engine, shown)
    except (SQLAlchemyError, driver.Error) as error:
        cause = getattr(error, "orig", None) or error
        reason = clean_message(cause).strip() or type(cause).__name__
        raise StoreError(
            f"{shown} does not take rows ({reason.splitlines()[0]}): check that it runs and that you may "
            "write to it"
        ) from None
    finally:
        engine.dispose()


def _not_there_yet(file: Path, shown: str) -> StoreState:
    """A folder that holds no store: can the first rows make one?"""
    parent = next(parent for parent in file.parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise StoreError(f"{shown} cannot be made: you may not write to {parent}; name another folder")
    return StoreState(shown, None, f"{shown} is not there yet: the first rows make it")


def _there(engine: Engine, shown: str) -> StoreState:
    with connect_to_read(engine) as connection:
        version = schema_version(connection)
        if version is None:
            may_create = engine.dialect.name == "sqlite" or connection.scalar(
                text("SELECT has_database_privilege(current_database(), 'CREATE')")
            )
            if may_create:
                return StoreState(shown, None, f"{shown} has no tables yet: the first rows make them")
            raise StoreError(
                f"{shown} has no tables, and you may not make them: its owner runs `rpa-analytics migrate`"
            )
    try:
        check_writable(version)
    except SchemaVersionError as error:
        return StoreState(shown, version, f"{shown}: {error}", waits=True)
    _write_and_roll_back(engine)
    newer = f", newer than this agent's {SCHEMA_VERSION}, which is fine" if version > SCHEMA_VERSION else ""
    text_ = f"{shown} takes rows; schema version {version}{newer}"
    return StoreState(shown, version, text_, clock_offset_ms=clock_offset_ms(engine))


def _write_and_roll_back(engine: Engine) -> None:
    """One row of each kind: what the agent will write, with the same rights, and nothing stays."""
    records = _one_of_each_kind(datetime.now(UTC))
    with engine.connect() as connection, connection.begin() as transaction:
        insert_keys(connection, {records[0].execution_id})  # type: ignore[union-attr]  # the first is an execution
        for record in records:
            layout = LAYOUTS[record.kind]
            row = layout.to_row(record)
            insert_rows(connection, layout, [row])
            if layout.marked:
                insert_marks(
                    connection, {(ROLLUP_STAGE, layout.kind, *mark) for mark in layout.marks_of([row])}
                )
        transaction.rollback()


def _one_of_each_kind(now: datetime) -> list[Record]:
    me = f"rpa-agent check {uuid4()}"
    run: dict[str, Any] = {"execution_id": me, "workflow_id": "rpa-agent check"}
    ended: dict[str, Any] = {"status": "completed", "started_at": now, "ended_at": now, "duration_ms": 0.0}
    return [
        ExecutionStart(**run, started_at=now),
        ExecutionHeartbeat(**run, sent_at=now),
        ExecutionMetrics(**run, **ended),
        StepMetrics(**run, **ended, recorder_id=me, step_seq=1, step_id="write"),
        ResourceMetrics(agent_id=me, target="host", sampled_at=now),
        AgentHeartbeat(agent_id=me, sent_at=now, complete_to=now),
        QuarantinedRecord(record_kind="check", reason="rolled back", payload="{}", received_at=now),
    ]
