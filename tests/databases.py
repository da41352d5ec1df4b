"""Where tests get their stores from: a folder for SQLite, a Postgres server of their own.

What many tests begin with is made once and then copied: on SQLite as a file, on Postgres from a template
database. Making the tables alone takes Postgres ten times as long as copying them.
"""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from analytics_lib import TimeSeriesStore

_IN_MEMORY = Path("/dev/shm")  # noqa: S108  # Linux's; what is made in it are folders of our own
_ROOM_BYTES = 4 * 1024**3  # ten times what all tests need

Fill = Callable[[str], object]  # puts into the store at a location what a test begins with
CopyOf = Callable[[Fill], str]


def folder_in_memory() -> str | None:
    """Where files need no disk, if this machine has room for them there.

    No test takes the power away, and copying a Postgres database takes a disk fifteen times as long.
    """
    if os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _ROOM_BYTES:
        return str(_IN_MEMORY)
    return None


def with_tables(location: str) -> None:
    """A store with all its tables and no row."""
    TimeSeriesStore(location).close()


class Databases(Protocol):
    def empty(self, folder: Path) -> str:
        """The location of a database in which nothing is; the folder is the test's own."""

    def copy(self, fill: Fill, folder: Path) -> str:
        """The location of a copy of what `fill` made, once, in an empty database; it must close its store."""


class SqliteFolders:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[Fill, Path] = {}

    def empty(self, folder: Path) -> str:
        return str(folder / "store")

    def copy(self, fill: Fill, folder: Path) -> str:
        if fill not in self._made:
            made = self._folder / f"{len(self._made)}"
            fill(str(made))
            self._made[fill] = made
        return str(shutil.copytree(self._made[fill], folder / "store"))


class PostgresServer:
    """Databases on a server; each that was given lives until `drop_given`."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._admin = create_engine(
            self._url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )
        self._numbers = itertools.count()
        self._made: dict[Fill, str] = {}
        self._given: list[str] = []

    def hurry(self) -> None:
        """No waiting for disks, which only a power cut would need, and no vacuuming of what lives a second.

        A commit is with the operating system before it is confirmed, so killing the server loses nothing.
        """
        for setting in ("fsync = off", "full_page_writes = off", "autovacuum = off"):
            self._say(f"ALTER SYSTEM SET {setting}")
        self._say("SELECT pg_reload_conf()")

    def empty(self, folder: Path | None = None) -> str:
        name = self._create()
        self._given.append(name)
        return self._location(name)

    def copy(self, fill: Fill, folder: Path | None = None) -> str:
        if fill not in self._made:
            name = self._create()
            fill(self._location(name))
            self._made[fill] = name
        name = self._create(self._made[fill])
        self._given.append(name)
        return self._location(name)

    def drop_given(self) -> None:
        """Drops all but the templates, whoever is still connected."""
        while self._given:
            self._say(f"DROP DATABASE IF EXISTS {self._given.pop()} WITH (FORCE)")

    def close(self) -> None:
        self._admin.dispose()

    def _create(self, template: str = "template1") -> str:
        name = f"t{next(self._numbers)}"
        self._say(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _location(self, name: str) -> str:
        return self._url.set(database=name, drivername="postgresql").render_as_string(hide_password=False)

    def _say(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))
