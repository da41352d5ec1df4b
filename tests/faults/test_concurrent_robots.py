"""Sixteen robots that record into one spool at once while a daemon ships it: each row arrives once."""

from pathlib import Path

import pytest

from analytics_lib.store import TimeSeriesStore
from tests.faults.invariant import Verdict
from tests.faults.numbered_rows import rows_in_database
from tests.faults.robots import EXIT_CODE, Place, Robots, drain, verdict_on, what_is_left
from tests.faults.tally import GO

pytest.importorskip("resource", reason="robots are forked: POSIX only")
ROBOTS = 16


def run_fleet(robots: Robots, place: Place, rows: int, **request: object) -> Verdict:
    daemon = robots.start("daemon", place, "daemon", flush_interval_sec=0.2, **request)
    fleet = [
        robots.start(
            "robot",
            place,
            f"robot {n}",
            rows=rows,
            mode="durable",
            waits=True,
            flush_interval_sec=0.2,
            **request,
        )
        for n in range(ROBOTS)
    ]
    for robot in fleet:
        robot.tally[GO] = 1
    for robot in fleet:
        assert robot.wait() == EXIT_CODE, robot.stderr.read_text()
    assert daemon.terminate() == 0, daemon.stderr.read_text()
    with TimeSeriesStore(place.store) as store:
        drain(place, store)
        verdict = verdict_on(fleet, list(rows_in_database(store.engine)))
    assert verdict.accepted == ROBOTS * rows
    assert what_is_left(place.spool) == []
    return verdict


def test_sixteen_robots_and_a_daemon_at_once(robots: Robots, tmp_path: Path) -> None:
    assert run_fleet(robots, Place.within(tmp_path), 200).complaints == []


def test_control_without_locks_rows_are_removed_while_they_are_written(
    robots: Robots, tmp_path: Path
) -> None:
    assert run_fleet(robots, Place.within(tmp_path), 60, rows_per_sec=30, control="without_locks").lost


@pytest.mark.full_faults
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_sixteen_robots_of_50000_rows(
    robots: Robots, tmp_path: Path, database: str, request: pytest.FixtureRequest, record_property: object
) -> None:
    place = Place.within(tmp_path)
    if database == "postgres":
        place = Place(place.folder, place.spool, request.getfixturevalue("postgres_location"))
    verdict = run_fleet(robots, place, 50_000)
    assert callable(record_property)
    record_property("ran", f"{ROBOTS} robots at once on {database}: {verdict}")
    assert verdict.complaints == []
