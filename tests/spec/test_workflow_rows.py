"""What the stored register promises, on both databases."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import delete, update

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.errors import SettingsError
from analytics_lib.store.workflow_rows import (
    Saved,
    read_register,
    remove_workflow,
    save_workflows,
    seen_workflows,
    unknown_workflows,
)
from analytics_lib.workflows import Register, Workflow, WorkflowChange
from tests.databases import CopyOf, with_tables
from tests.make import at, execution, start, step, table_rows

INVOICES = WorkflowChange(
    "invoices",
    {
        "display_name": "Invoice intake",
        "group": "Finance",
        "owner": "ann",
        "time_zone": "Europe/Berlin",
        "environment": "staging",
        "attended": True,
        "sla_duration_ms": 300_000.0,
        "sla_success_rate": 0.98,
    },
    aliases=("old", "older"),
)


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(with_tables)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location) as opened:
        yield opened


def save(store: TimeSeriesStore, *changes: WorkflowChange, at_us: int = 1) -> Saved:
    with store.engine.begin() as connection:
        return save_workflows(connection, changes, updated_at_us=at_us)


def register_of(store: TimeSeriesStore) -> Register:
    with store.engine.connect() as connection:
        return read_register(connection)


def stored(store: TimeSeriesStore) -> list[list[tuple[object, ...]]]:
    return [table_rows(store.engine, name) for name in ("workflow", "workflow_alias")]


def test_an_empty_register_knows_nothing(store: TimeSeriesStore) -> None:
    assert register_of(store) == Register()


def test_what_is_saved_is_read_again(store: TimeSeriesStore) -> None:
    assert save(store, INVOICES, WorkflowChange("payroll")) == Saved(added=("invoices", "payroll"))
    register = register_of(store)
    assert register.get("invoices") == Workflow(workflow_id="invoices", **INVOICES.values)
    assert register.get("payroll") == Workflow(workflow_id="payroll")
    assert register.aliases == {"old": "invoices", "older": "invoices"}


def test_saving_the_same_again_writes_nothing(store: TimeSeriesStore) -> None:
    save(store, INVOICES, at_us=1)
    before = stored(store)
    assert save(store, INVOICES, at_us=2) == Saved(unchanged=("invoices",))
    assert stored(store) == before


def test_a_change_updates_its_fields_and_leaves_the_rest(store: TimeSeriesStore) -> None:
    save(store, INVOICES, WorkflowChange("payroll"))
    done = save(store, WorkflowChange("invoices", {"sla_duration_ms": None, "owner": "bob"}), at_us=2)
    assert done == Saved(changed=("invoices",))
    expected = {**INVOICES.values, "sla_duration_ms": None, "owner": "bob"}
    assert register_of(store).get("invoices") == Workflow(workflow_id="invoices", **expected)
    updated = {row[0]: row[-1] for row in table_rows(store.engine, "workflow")}
    assert updated == {"invoices": 2, "payroll": 1}


def test_aliases_are_added_removed_and_moved(store: TimeSeriesStore) -> None:
    save(store, INVOICES)
    done = save(store, WorkflowChange("invoices", add_aliases=("oldest",), remove_aliases=("older",)))
    assert done == Saved(changed=("invoices",))
    assert register_of(store).aliases_of("invoices") == ("old", "oldest")
    save(store, WorkflowChange("payroll", aliases=("old",)), WorkflowChange("invoices", aliases=()))
    assert register_of(store).aliases == {"old": "payroll"}


def test_a_refused_change_leaves_the_register_as_it_was(store: TimeSeriesStore) -> None:
    save(store, INVOICES, WorkflowChange("payroll"))
    before = stored(store)
    for wrong in (
        WorkflowChange("payroll", add_aliases=("invoices",)),
        WorkflowChange("old"),
        WorkflowChange("payroll", add_aliases=("old",)),
        WorkflowChange("new", {"time_zone": "Mars/Base"}),
    ):
        with pytest.raises(SettingsError):
            save(store, WorkflowChange("invoices", {"owner": "eve"}), wrong)
    assert stored(store) == before


def test_hostile_names_are_stored_as_they_are(store: TimeSeriesStore) -> None:
    names = ["'; DROP TABLE workflow; --", "<script>alert(1)</script>", "Ünïcode →", "%s :name {x}"]
    save(store, *(WorkflowChange(name, {"display_name": name}, aliases=(name + "!",)) for name in names))
    register = register_of(store)
    assert sorted(register.workflows) == sorted(names)
    assert all(register.display_name(name + "!") == name for name in names)


def test_a_removed_workflow_has_the_defaults_again(store: TimeSeriesStore) -> None:
    save(store, INVOICES, WorkflowChange("payroll", aliases=("wages",)))
    with store.engine.begin() as connection:
        assert remove_workflow(connection, "invoices")
        assert not remove_workflow(connection, "invoices")
        assert not remove_workflow(connection, "wages")
    register = register_of(store)
    assert not register.known("invoices")
    assert not register.known("old")
    assert register.aliases == {"wages": "payroll"}


def test_workflows_that_rows_name_are_seen_before_and_after_the_raw_rows(store: TimeSeriesStore) -> None:
    store.write_metrics(
        [
            execution("e1", workflow_id="payroll"),
            execution("e2", workflow_id="old"),
            execution("e3", workflow_id="invoices"),
            step("e4", 1, workflow_id="stepped"),
            start("e5", workflow_id="only begun"),
        ]
    )
    save(store, INVOICES)
    with store.engine.connect() as connection:
        assert seen_workflows(connection) == ["invoices", "old", "payroll"]
        assert unknown_workflows(connection, read_register(connection)) == ["payroll"]
    pipeline.aggregate_pending(store.location, as_of=at(120))
    with store.engine.begin() as connection:
        connection.execute(delete(schema.execution_metrics))
        assert seen_workflows(connection) == ["invoices", "old", "payroll", "stepped"]
        assert unknown_workflows(connection, read_register(connection)) == ["payroll", "stepped"]


def test_a_row_edited_into_nonsense_is_refused_when_read_and_can_be_set_right(store: TimeSeriesStore) -> None:
    save(store, INVOICES)
    with store.engine.begin() as connection:
        connection.execute(update(schema.workflow).values(time_zone="Gone/Zone"))
    with pytest.raises(SettingsError, match="time_zone 'Gone/Zone' is unknown"):
        register_of(store)
    save(store, WorkflowChange("invoices", {"time_zone": "UTC"}))
    assert register_of(store).get("invoices").time_zone == "UTC"


def test_a_row_that_leaves_the_environment_empty_means_production(store: TimeSeriesStore) -> None:
    save(store, INVOICES)
    with store.engine.begin() as connection:
        connection.execute(update(schema.workflow).values(environment=""))
    assert register_of(store).get("invoices").environment == "production"


def test_two_who_save_at_once_lose_no_change_and_make_no_circle(store: TimeSeriesStore) -> None:
    refused: list[SettingsError] = []
    ready = threading.Barrier(2)

    def work(mine: str, other: str) -> None:
        ready.wait()
        for n in range(5):
            save(store, WorkflowChange("shared", {"owner" if mine == "a" else "group": f"{mine}{n}"}))
        try:
            save(store, WorkflowChange(mine, add_aliases=(other,)))
        except SettingsError as error:
            refused.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    register = register_of(store)
    assert (register.get("shared").owner, register.get("shared").group) == ("a4", "b4")
    assert len(refused) == 1
    assert len(register.aliases) == 1
