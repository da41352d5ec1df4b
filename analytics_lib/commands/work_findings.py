"""What the doctor sees of the work on a store: hours that wait, mails, rows set aside, agents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from analytics_lib import formats, settings
from analytics_lib.commands.agents import JUDGED_BY, judge
from analytics_lib.commands.database_findings import room
from analytics_lib.commands.finding import MOST_LISTED, Finding, Level
from analytics_lib.errors import SettingsError
from analytics_lib.store import health
from analytics_lib.store.agent_rows import read_agents
from analytics_lib.store.engine import clock_offset_ms, connect_to_read
from analytics_lib.store.writing import ROLLUP_STAGE
from analytics_lib.windows import DAY_US, HOUR_US, from_us

_LATE_US: Final = 2 * HOUR_US  # an hour is rolled up five minutes after its end
_STAGE_LATE_US: Final = 6 * HOUR_US
_VERY_LATE_US: Final = DAY_US


def waiting(engine: Engine, now_us: int) -> Iterator[Finding]:
    with connect_to_read(engine) as connection:
        found = health.waiting(connection, now_us)
    for one in found:
        late_us = 0 if one.live_since_us is None else now_us - (one.live_since_us + HOUR_US)
        limit_us = _LATE_US if one.stage == ROLLUP_STAGE else _STAGE_LATE_US
        level: Level = "ok" if late_us < limit_us else "warning" if late_us < _VERY_LATE_US else "critical"
        text = f"{formats.runs_text(one.hours, 'hour')} to be done, the oldest of {_hour(one.oldest_us)}"
        if level != "ok":
            text += (
                f"\nan hour that ended {formats.duration_text(late_us / 1000)} ago is not done: does the "
                "pipeline run, or did late rows come just now?"
            )
        details = {
            "hours": one.hours,
            "oldest": from_us(one.oldest_us).isoformat(),
            "late_s": late_us // 10**6,
        }
        yield Finding(one.stage, level, text, details)
    if not any(one.stage == ROLLUP_STAGE for one in found):
        yield Finding(ROLLUP_STAGE, "ok", "every hour that is over is rolled up", {"hours": 0})


def archive(engine: Engine, _now_us: int) -> Iterator[Finding]:
    """Marks that stay because the rows they are about cannot be had."""
    with connect_to_read(engine) as connection:
        needed = health.needed_archive(connection)
    try:
        folder: Path | None = settings.archive_folder(_location(engine))
    except SettingsError:
        folder = None
    if folder is None:
        if needed:
            days = len({part.day_us for part in needed})
            text = f"{days} days to be rolled up again are archived: set {settings.ARCHIVE_VARIABLE} here"
            yield Finding("archive", "warning", text, {"unreadable_days": days})
        return
    lost = [part for part in needed if _size(folder / part.path) != part.file_bytes]
    if lost:
        lines = [f"{len(lost)} files are missing or damaged, so hours that changed stay as they were:"]
        lines += [
            f"{part.source} of {_day(part.day_us)}: {folder / part.path}" for part in lost[:MOST_LISTED]
        ]
        lines.append("restore them from a backup; the marks stay until then")
        files = [part.path for part in lost]
        yield Finding("archive", "critical", "\n".join(lines), {"unreadable_files": files})
    elif needed:
        yield Finding("archive", "ok", f"{len(needed)} files are there that marked hours need")
    if folder.is_dir():
        yield room("archive disk", folder)


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def mails(engine: Engine, now_us: int) -> Iterator[Finding]:
    with connect_to_read(engine) as connection:
        states = health.mails_by_state(connection, now_us - 7 * DAY_US)
    bad = {state: states[state] for state in ("failed", "refused", "unknown") if states.get(state)}
    if bad:
        text = ", ".join(f"{n} {state}" for state, n in bad.items())
        text = f"of the last seven days {text}: `rpa-analytics outbox list`"
        yield Finding("mails", "warning", text, states)
    else:
        yield Finding("mails", "ok", f"{states.get('sent', 0)} sent within seven days", states)


def quarantined(engine: Engine, now_us: int) -> Iterator[Finding]:
    with connect_to_read(engine) as connection:
        reasons = health.quarantined(connection, now_us - DAY_US)
    rows = sum(n for _, n in reasons)
    if not rows:
        yield Finding("quarantine", "ok", "no row was set aside within a day", {"rows": 0})
        return
    lines = [f"{formats.runs_text(rows, 'row')} set aside within a day:"]
    lines += [f"{n}: {formats.shortened(reason, 150)}" for reason, n in reasons[:MOST_LISTED]]
    yield Finding("quarantine", "warning", "\n".join(lines), {"rows": rows, "reasons": dict(reasons)})


def agents(engine: Engine, now_us: int) -> Iterator[Finding]:
    own_offset_ms = clock_offset_ms(engine)
    with connect_to_read(engine) as connection:
        agents = [judge(agent, now_us, own_offset_ms) for agent in read_agents(connection)]
    if not agents:
        yield Finding("agents", "note", "none has given a sign of life")
        return
    silent = [one.agent.host or one.agent.agent_id for one in agents if one.state == "silent"]
    dropping = [one.agent.host or one.agent.agent_id for one in agents if one.agent.rows_dropped]
    troubled = sum(one.state == "problem" for one in agents)
    lines = [f"{formats.runs_text(len(agents), 'agent')}, {len(silent)} silent, {troubled} with problems"]
    if silent:
        lines.append(f"silent ({JUDGED_BY}): {_some(silent)}")
    if dropping:
        lines.append(f"have dropped rows: {_some(dropping)}")
    if silent or troubled:
        lines.append("`rpa-analytics agents list` says more")
    details = {"agents": len(agents), "silent": silent, "dropping": dropping, "with_problems": troubled}
    yield Finding("agents", "warning" if silent or troubled or dropping else "ok", "\n".join(lines), details)


def _location(engine: Engine) -> str:
    file = health.sqlite_file(engine)
    return str(file.parent) if file else "postgresql://server"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(formats.name_text(name, 40) for name in names[:MOST_LISTED]) + more


def _day(moment_us: int) -> str:
    return f"{from_us(moment_us):%Y-%m-%d}"


def _hour(moment_us: int) -> str:
    return f"{from_us(moment_us):%Y-%m-%d %H:%M}Z"
