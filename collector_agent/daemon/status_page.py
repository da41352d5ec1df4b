"""What `rpa-agent status` shows: what the daemon says of itself, and what stands in the spool."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from collector_agent.daemon.status import DaemonStatus, State, ago, lasting, read_status, state_of
from collector_agent.forwarding.spool_account import Look, SpoolAccount, utc_now
from collector_agent.machine.daemon_lock import daemon_is_running, daemon_pid
from collector_agent.machine.problems import read_problems
from collector_agent.settings import AgentSettings
from collector_agent.spool.files import REAL
from collector_agent.spool.names import QUARANTINE
from collector_agent.spool.reader import look_at, sets_in

CLOCK_OFFSET_LIMIT_MS: Final = 5_000.0
_NEARLY_FULL: Final = 0.8
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """One fact. `attention`: somebody has to do something."""

    subject: str
    text: str
    attention: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """`details`: the same for machines."""

    state: State
    why: str
    lines: list[Line]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def attention(self) -> int:
        return sum(line.attention for line in self.lines)

    def as_json(self) -> str:
        return json.dumps(
            {
                "state": self.state,
                "why": self.why,
                "needs_attention": [line.subject for line in self.lines if line.attention],
                **self.details,
            },
            indent=2,
            default=str,
        )


def is_undecided(status: DaemonStatus | None) -> bool:
    """Rows wait, and nothing says why: whether some of them are delivered the next status shows."""
    return (
        status is not None
        and status.undelivered > 0
        and status.delivered == status.delivered_before
        and not status.store_error
    )


def current_status() -> DaemonStatus | None:
    """What the daemon that runs now says; None where none runs, or it has said nothing yet.

    Raises OSError or ValueError where that cannot be read.
    """
    pid = daemon_pid()
    status = read_status() if pid is not None else None
    return status if status is not None and status.pid == pid else None


def page_of(settings: AgentSettings, status: DaemonStatus | None) -> Page:
    """Raises OSError where the spool may not be looked at."""
    now = datetime.now(UTC)
    is_running = daemon_is_running()
    state, why = state_of(status, is_running, now)
    look = _spool(settings)
    quarantined = _quarantined(settings)
    lines = [
        _daemon(status, is_running, state, why, now),
        *(_of_status(status, now) if status else ()),
        Line("recording", "durable" if settings.is_durable else "in memory"),
        *_spool_lines(settings, look, now),
    ]
    if quarantined:
        text = f"{quarantined} rows are kept aside: see `rpa-agent quarantine list`"
        lines.append(Line("quarantine", text, attention=True))
    problems = read_problems()
    for problem in problems:  # what robots on this machine could say nowhere else
        text = f"{' '.join(problem.text.split())}\nsince {ago(now, problem.reported_at)}"
        lines.append(Line(problem.component, text, attention=True))
    spool = {
        "folder": str(settings.spool),
        "sets": look.sets,
        "bytes": look.bytes_undelivered,
        "max_bytes": settings.spool_max_bytes,
        "undelivered": look.rows_pending,
        "oldest_undelivered_at": look.oldest_undelivered_at,
        "quarantined": quarantined,
    }
    details = {
        "daemon_runs": is_running,
        "daemon": asdict(status) if status else None,
        "spool": spool,
        "problems": [asdict(problem) for problem in problems],
    }
    return Page(state, why, lines, details)


def _daemon(status: DaemonStatus | None, is_running: bool, state: State, why: str, now: datetime) -> Line:
    if not is_running:
        return Line("daemon", "does not run: start it by `rpa-agent run`", attention=True)
    if status is None:
        return Line("daemon", "runs, and has not said anything yet: ask again in some seconds")
    started = f"runs since {ago(now, status.started_at)}: process {status.pid}, version {status.version}"
    return Line("daemon", f"{started}\n{state}{f' {why}' if why else ''}", state == "not delivering")


def _of_status(status: DaemonStatus, now: datetime) -> Iterator[Line]:
    copied = f", copied from that of {status.cloned_from}" if status.cloned_from else ""
    yield Line("agent", f"{status.agent_id} on {status.host}{copied}")
    if status.store_error:
        since = f" since {ago(now, status.store_error_since)}" if status.store_error_since else ""
        yield Line("store", f"{status.store} takes not all{since}: {status.store_error}", attention=True)
    else:
        yield Line("store", f"{status.store} took what it was given last")
    if status.clock_offset_ms is not None:
        yield Line("clock", clock_text(status.clock_offset_ms), is_off(status.clock_offset_ms))
    yield Line(
        "delivered",
        f"{status.delivered:,} rows, {status.delivered_last_minute:,} of them in the last minute",
    )
    lost = [
        f"{count:,} {what}"
        for count, what in (
            (status.dropped, "dropped because the spool was full"),
            (status.torn, "torn when their robot or the machine died"),
        )
        if count
    ]
    if lost:
        yield Line("lost", "; ".join(lost), attention=status.dropped > 0)


def clock_text(offset_ms: float) -> str:
    """
    >>> clock_text(12.4), clock_text(-61_000.0)
    ('0.01 s behind that of the database', '61.00 s ahead of that of the database')
    """
    return f"{abs(offset_ms) / 1000:.2f} s {'behind' if offset_ms > 0 else 'ahead of'} that of the database"


def is_off(offset_ms: float) -> bool:
    return abs(offset_ms) > CLOCK_OFFSET_LIMIT_MS


def _spool_lines(settings: AgentSettings, look: Look, now: datetime) -> Iterator[Line]:
    used, cap = look.bytes_undelivered, settings.spool_max_bytes
    size = f"{used / _MB:,.1f} MB of at most {cap / _MB:,.0f} MB in {look.sets} sets"
    yield Line("spool", f"{settings.spool}\n{size}", used > _NEARLY_FULL * cap)
    if look.rows_pending:
        oldest = look.oldest_undelivered_at
        since = f", the oldest of {lasting(now - oldest)} ago" if oldest else ""
        yield Line("undelivered", f"about {look.rows_pending:,} rows{since}")


def _spool(settings: AgentSettings) -> Look:
    account = SpoolAccount(utc_now)
    look = account.begin()
    for folder in sets_in(settings.spool):
        try:
            account.add(look, folder.name, look_at(folder))
        except OSError:
            account.add_unread(look, folder.name)
    return look


def _quarantined(settings: AgentSettings) -> int:
    try:
        return sum(name.endswith(".json") for name in REAL.listing(settings.spool / QUARANTINE))
    except FileNotFoundError:
        return 0
