"""The register in and out of the database, and the workflows that rows name and it does not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select, text, union
from sqlalchemy.dialects import postgresql, sqlite

from analytics_lib.schema import (
    execution_metrics,
    rollup_execution_hourly,
    rollup_step_hourly,
    workflow,
    workflow_alias,
)
from analytics_lib.workflows import Register, Workflow, WorkflowChange, aliases_by_workflow, change

_LOCK: Final = 0x7270615E  # one writer of the register at a time on Postgres
_COLUMN: Final = {
    "display_name": "display_name",
    "group": "workflow_group",  # GROUP is a word of SQL
    "owner": "owner",
    "time_zone": "time_zone",
    "environment": "environment",
    "attended": "attended",
    "sla_duration_ms": "sla_duration_ms",
    "sla_success_rate": "sla_success_rate",
}
_SEEN_IN: Final = (execution_metrics, rollup_execution_hourly, rollup_step_hourly)


@dataclass(frozen=True, slots=True)
class Saved:
    """Workflow ids by what became of them; a workflow that was as wanted already is not written."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


def read_register(connection: Connection) -> Register:
    """The register as it is stored. Raises SettingsError where a row, edited by hand, is not valid."""
    rows, aliases = _read(connection)
    return Register.of((Workflow(workflow_id=key, **values) for key, values in rows.items()), aliases)


def save_workflows(connection: Connection, changes: Iterable[WorkflowChange], *, updated_at_us: int) -> Saved:
    """Writes the changes in the caller's transaction; saving the same again writes nothing.

    Must be the transaction's first statement (see `ledger.lock_shard`). The whole register is checked
    before anything is written. Raises SettingsError.
    """
    _lock(connection)
    rows, aliases = _read(connection)
    changes = list(changes)
    register = change(rows, aliases, changes)
    ids = list(dict.fromkeys(one.workflow_id for one in changes))
    wanted = {key: _values(register.workflows[key]) for key in ids}
    added = [key for key in ids if key not in rows]
    before, after = aliases_by_workflow(aliases), aliases_by_workflow(register.aliases)
    changed = [
        key for key in ids if key in rows and (rows[key] != wanted[key] or before.get(key) != after.get(key))
    ]
    _upsert(connection, {key: wanted[key] for key in (*added, *changed)}, updated_at_us)
    _replace_aliases(connection, aliases, register.aliases)
    return Saved(tuple(added), tuple(changed), tuple(key for key in ids if key not in {*added, *changed}))


def remove_workflow(connection: Connection, workflow_id: str) -> bool:
    """Takes the workflow and its aliases out of the register; its rows stay. Whether it was there."""
    _lock(connection)
    connection.execute(delete(workflow_alias).where(workflow_alias.c.workflow_id == workflow_id))
    return connection.execute(delete(workflow).where(workflow.c.workflow_id == workflow_id)).rowcount > 0


def seen_workflows(connection: Connection) -> list[str]:
    """Every workflow_id that rolled-up or finished executions, or rolled-up steps, name; sorted."""
    seen = union(*(select(table.c.workflow_id).distinct() for table in _SEEN_IN))
    return sorted(workflow_id for (workflow_id,) in connection.execute(seen) if workflow_id)


def unknown_workflows(connection: Connection, register: Register) -> list[str]:
    """The seen workflows that are neither in the register nor an alias: they have the defaults."""
    return [workflow_id for workflow_id in seen_workflows(connection) if not register.known(workflow_id)]


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _read(connection: Connection) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """(workflow_id → fields, as stored and not checked; alias → workflow_id)."""
    rows = {
        row.workflow_id: {name: getattr(row, column) for name, column in _COLUMN.items()}
        for row in connection.execute(select(workflow).order_by(workflow.c.workflow_id))
    }
    pairs = connection.execute(select(workflow_alias.c.alias, workflow_alias.c.workflow_id))
    return rows, {pair.alias: pair.workflow_id for pair in pairs}


def _values(one: Workflow) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _COLUMN}


def _upsert(connection: Connection, rows: Mapping[str, Mapping[str, Any]], updated_at_us: int) -> None:
    if not rows:
        return
    made = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(workflow)
    others = [column.name for column in workflow.columns if not column.primary_key]
    statement = made.on_conflict_do_update(
        index_elements=[workflow.c.workflow_id], set_={name: made.excluded[name] for name in others}
    )
    connection.execute(
        statement,
        [
            {
                "workflow_id": key,
                "updated_at_us": updated_at_us,
                **{column: values[name] for name, column in _COLUMN.items()},
            }
            for key, values in rows.items()
        ],
    )


def _replace_aliases(connection: Connection, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    gone = [alias for alias, target in before.items() if after.get(alias) != target]
    new = [alias for alias, target in after.items() if before.get(alias) != target]
    if gone:
        statement = delete(workflow_alias).where(workflow_alias.c.alias == bindparam("gone"))
        connection.execute(statement, [{"gone": alias} for alias in gone])
    if new:
        rows = [{"alias": alias, "workflow_id": after[alias]} for alias in new]
        connection.execute(workflow_alias.insert(), rows)
