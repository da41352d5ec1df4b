"""What the doctor sees of the database itself: days, sizes, indexes, clock, disk, SQLite's own checks."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from analytics_lib import formats
from analytics_lib.commands.finding import LEVELS, MOST_LISTED, Finding, Level
from analytics_lib.store import health, partitions
from analytics_lib.store.engine import clock_offset_ms, connect_to_read
from analytics_lib.windows import DAY_US, day_of, from_us

_CLOCK_OFF_MS: Final = (5_000.0, 60_000.0)
_FREE_BYTES: Final = (2 * 1024**3, 256 * 1024**2)
_FREE_SHARE: Final = 0.05
_AHEAD_DAYS: Final = 2  # fewer days than this ahead, and maintenance is overdue


def days(engine: Engine, now_us: int) -> Iterator[Finding]:
    if engine.dialect.name != "postgresql":
        return
    today_us = day_of(now_us)
    lines, level = [], 0
    details: dict[str, Any] = {}
    with connect_to_read(engine) as connection:
        for source in partitions.PARTITIONED:
            if not partitions.has_default(connection, source):
                lines.append(f"{source}: the default partition is missing, so rows are refused")
                level = 3
                continue
            existing = partitions.partitions(connection, source)
            left = partitions.days_in_default(connection, source)
            ahead = 0
            while partitions.is_covered(today_us + ahead * DAY_US, existing):
                ahead += 1
            details[source] = {"partitions": len(existing), "days_ahead": ahead, "days_in_default": len(left)}
            said = f"{source}: {len(existing)} days, {max(0, ahead - 1)} of them ahead"
            if left:
                said += f"; rows of {len(left)} days in the default partition"
                said += f", the latest of {from_us(left[0]):%Y-%m-%d}"
            lines.append(said)
            # Rows of a day that has none yet wait for the next hour's maintenance, which is no trouble.
            level = max(level, 2 if ahead < _AHEAD_DAYS else 1 if left else 0)
    if level >= 2:
        lines.append("days are not made ahead: `rpa-analytics run hourly-aggregation`, every hour")
    yield Finding("partitions", LEVELS[level], "\n".join(lines), details)


def tables(engine: Engine, _now_us: int) -> Iterator[Finding]:
    with connect_to_read(engine) as connection:
        sizes = health.table_sizes(connection)
        total = health.database_bytes(connection)
    largest = [size for size in sizes if size.rows or size.bytes][:MOST_LISTED]
    lines = [f"{formats.bytes_text(total)} in all"]
    for size in largest:
        rows = "rows not counted yet" if size.rows is None else f"about {formats.runs_text(size.rows, 'row')}"
        lines.append(f"{size.name}: {rows}" + (f", {formats.bytes_text(size.bytes)}" if size.bytes else ""))
    details = {size.name: {"rows": size.rows, "bytes": size.bytes} for size in sizes}
    yield Finding("tables", "ok", "\n".join(lines), {"bytes": total, "tables": details})


def indexes(engine: Engine, _now_us: int) -> Iterator[Finding]:
    with connect_to_read(engine) as connection:
        problems = health.index_problems(connection)
    if problems:
        # Without a table a stage fails; without an index it is slow.
        level: Level = "critical" if any(line.startswith("the table") for line in problems) else "warning"
        yield Finding("indexes", level, "\n".join(problems), {"problems": problems})
    else:
        yield Finding("indexes", "ok", "all there and valid", {"problems": []})


def clock(engine: Engine, _now_us: int) -> Iterator[Finding]:
    offset_ms = clock_offset_ms(engine)
    if offset_ms is None:
        return
    off = sum(abs(offset_ms) > limit for limit in _CLOCK_OFF_MS)
    how = "behind" if offset_ms > 0 else "ahead of"
    text = f"{formats.duration_text(abs(offset_ms))} {how} the database's"
    if off:
        text += ": let both machines set their clocks by the network (NTP)"
    yield Finding("clock", LEVELS[off + 1] if off else "ok", text, {"clock_offset_ms": offset_ms})


def disk(engine: Engine, _now_us: int) -> Iterator[Finding]:
    file = health.sqlite_file(engine)
    if file is not None:
        yield room("disk", file.parent)


def room(subject: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    level: Level = "ok"
    if usage.free < _FREE_BYTES[1]:
        level = "critical"
    elif usage.free < _FREE_BYTES[0] and usage.free < _FREE_SHARE * usage.total:
        level = "warning"
    text = f"{formats.bytes_text(usage.free)} of {formats.bytes_text(usage.total)} free at {folder}"
    return Finding(subject, level, text, {"free_bytes": usage.free, "total_bytes": usage.total})


def sqlite(engine: Engine, _now_us: int) -> Iterator[Finding]:
    if engine.dialect.name != "sqlite":
        return
    if health.has_wal_reset_bug():
        fixed = ".".join(map(str, health.WAL_RESET_FIXED_IN))
        text = (
            f"{sqlite3.sqlite_version} can damage the file, in rare cases, when two connections checkpoint "
            f"at the same moment; {fixed} does not\nkeep copies; use a newer one, or Postgres if many write"
        )
        yield Finding("SQLite", "note", text, {"version": sqlite3.sqlite_version})
    else:
        yield Finding("SQLite", "ok", sqlite3.sqlite_version, {"version": sqlite3.sqlite_version})


def integrity(engine: Engine, _now_us: int) -> Iterator[Finding]:
    if engine.dialect.name != "sqlite":
        yield Finding("integrity", "note", "Postgres checks its own files: see pg_amcheck")
        return
    with connect_to_read(engine) as connection:
        damage = health.sqlite_damage(connection)
    if damage:
        lines = [*damage, "stop who writes, keep the file, and restore a copy; see SQLite's .recover"]
        yield Finding("integrity", "critical", "\n".join(lines), {"damage": damage})
    else:
        yield Finding("integrity", "ok", "every page, index and reference is sound", {"damage": []})
