"""What `rpa-analytics doctor` looks at: the parts of the store, how each stands, and what to do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from analytics_lib.commands import database_findings, work_findings
from analytics_lib.commands.finding import Finding
from analytics_lib.errors import RpaAnalyticsError, StoreError
from analytics_lib.schema import SCHEMA_VERSION
from analytics_lib.store.engine import connect_to_read, open_engine, shown_url, store_url
from analytics_lib.store.versions import check_readable, schema_version
from analytics_lib.store.writing import ROLLUP_STAGE

Check = Callable[[Engine, int], Iterator[Finding]]

CHECKS: Final[dict[str, Check]] = {
    "partitions": database_findings.days,
    ROLLUP_STAGE: work_findings.waiting,
    "archive": work_findings.archive,
    "tables": database_findings.tables,
    "indexes": database_findings.indexes,
    "clock": database_findings.clock,
    "disk": database_findings.disk,
    "SQLite": database_findings.sqlite,
    "mails": work_findings.mails,
    "quarantine": work_findings.quarantined,
    "agents": work_findings.agents,
}


def findings(location: str, now_us: int, *, integrity: bool = False) -> Iterator[Finding]:
    """Every part of the store, one after the other. Makes nothing, and raises nothing of the database's."""
    try:
        url = store_url(location)
        if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
            raise StoreError(
                f"there is no store in {Path(str(url.database)).parent}: `rpa-analytics migrate`"
            )
        engine = open_engine(location)
    except StoreError as error:
        yield Finding("store", "critical", str(error))
        return
    try:
        store = _store(engine)
        yield store
        if store.level == "critical":
            return
        for subject, check in CHECKS.items():
            yield from _guarded(subject, check, engine, now_us)
        if integrity:
            yield from _guarded("integrity", database_findings.integrity, engine, now_us)
    finally:
        engine.dispose()


def _guarded(subject: str, check: Check, engine: Engine, now_us: int) -> Iterator[Finding]:
    """What a check finds; that it cannot be made is a finding, too."""
    driver: Any = engine.dialect.dbapi
    try:
        yield from check(engine, now_us)
    except (SQLAlchemyError, driver.Error, RpaAnalyticsError, OSError) as error:
        yield Finding(subject, "critical", f"cannot be looked at: {_reason(error)}")


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _store(engine: Engine) -> Finding:
    shown = shown_url(engine.url)
    driver: Any = engine.dialect.dbapi
    try:
        with connect_to_read(engine) as connection:
            version = schema_version(connection)
    except (SQLAlchemyError, driver.Error) as error:
        text = f"{shown} cannot be read ({_reason(error)}): check that it runs, and that you may"
        return Finding("store", "critical", text, {"location": shown, "schema_version": None})
    details = {"location": shown, "schema_version": version, "program_schema_version": SCHEMA_VERSION}
    if version is None:
        return Finding("store", "critical", f"{shown} has no tables: `rpa-analytics migrate`", details)
    try:
        check_readable(version)
    except StoreError as error:
        return Finding("store", "critical", f"{shown}: {error}", details)
    return Finding("store", "ok", f"{shown}, schema version {version}", details)
