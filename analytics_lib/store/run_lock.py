"""A lock for a whole run, over many transactions: whoever comes second learns it at once and leaves.

It ends with the process that holds it, however that ends. Postgres: an advisory lock of a session that
does nothing else. SQLite: a lock file beside the store, itself a database that is held exclusively,
which is the one file lock that Python has on every system.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from analytics_lib.errors import StoreError


@contextmanager
def run_lock(engine: Engine, name: str) -> Iterator[bool]:
    """Gives whether the lock is ours; with False another process has it. Raises StoreError."""
    if engine.dialect.name == "sqlite":
        with _file_lock(Path(str(engine.url.database)).parent / f".{name}.lock") as ours:
            yield ours
        return
    key = {"key": zlib.crc32(name.encode()) - (1 << 31)}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ours = bool(connection.execute(text("SELECT pg_try_advisory_lock(1919967540, :key)"), key).scalar())
        try:
            yield ours
        finally:
            if ours:
                connection.execute(text("SELECT pg_advisory_unlock(1919967540, :key)"), key)


@contextmanager
def _file_lock(file: Path) -> Iterator[bool]:
    try:
        connection = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise StoreError(f"the lock file {file} cannot be made ({error}): make its folder writable") from None
    with closing(connection):
        try:
            connection.execute("BEGIN EXCLUSIVE")
            ours = True
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise StoreError(
                    f"the lock file {file} cannot be used ({error}): make it writable, or delete it"
                ) from None
            ours = False
        yield ours
