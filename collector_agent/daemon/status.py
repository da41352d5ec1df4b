"""How it stands with the daemon, written by itself and read by `rpa-agent status`; standard library only.

One small file in the state folder, replaced as a whole every few seconds. Nothing in it is secret.
"""

from dataclasses import Field, asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args

from collector_agent.machine.locations import host_in_file_names, state_folder
from collector_agent.machine.private_file import read_private, replace_private

State = Literal["delivering", "nothing to deliver", "not delivering", "starting", "not running"]
SILENT_AFTER: Final = timedelta(seconds=30)  # a daemon that lives writes every few seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """What a daemon says of itself. Counters run since it started.

    `store`: for people, without a password. `store_error`: '' where the last rows were taken.
    `undelivered`: rows, estimated by their bytes. `delivered_before`: what `delivered` was when the
    status before was written: it was progress if it is more now.
    """

    pid: int
    version: str
    agent_id: str
    cloned_from: str = ""
    host: str = ""
    started_at: datetime
    written_at: datetime
    store: str
    store_error: str = ""
    store_error_since: datetime | None = None
    clock_offset_ms: float | None = None
    recording_mode: str
    spool_folder: str
    spool_bytes: int = 0
    spool_max_bytes: int = 0
    sets: int = 0
    undelivered: int = 0
    oldest_undelivered_at: datetime | None = None
    recorded: int = 0
    delivered: int = 0
    delivered_before: int = 0
    delivered_last_minute: int = 0
    last_progress_at: datetime | None = None
    quarantined: int = 0
    dropped: int = 0
    torn: int = 0


def status_file() -> Path:
    return state_folder() / f"daemon-{host_in_file_names()}.status.json"


def write_status(status: DaemonStatus) -> None:
    """Raises OSError."""
    content = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(status).items()
    }
    replace_private(status_file(), content)


def read_status() -> DaemonStatus | None:
    """What the daemon wrote last, this one or one before it; None where none ever did.

    Raises OSError where the file cannot be read, ValueError where it is none of ours.
    """
    try:
        content = read_private(status_file())
    except FileNotFoundError:
        return None
    values = {f.name: _value(f, content[f.name]) for f in fields(DaemonStatus) if f.name in content}
    try:
        return DaemonStatus(**values)
    except TypeError as error:  # something that must be there is not
        raise ValueError(str(error)) from None


def _value(field: Field[Any], value: Any) -> Any:
    """As the field's type wants it."""
    may_be_none = type(None) in get_args(field.type)
    type_: Any = get_args(field.type)[0] if may_be_none else field.type
    if value is None and may_be_none:
        return None
    if type_ is datetime and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, bool) or not isinstance(value, (int, float) if type_ is float else type_):
        raise ValueError(f"{field.name} is {type(value).__name__}, not what a daemon writes")
    return value


def state_of(status: DaemonStatus | None, is_running: bool, now: datetime) -> tuple[State, str]:
    """(a word or two, why). Rows that wait are called delivered only where some of them were."""
    if not is_running:
        return "not running", ""
    if status is None:
        return "starting", ""
    if now - status.written_at > SILENT_AFTER:
        return "not delivering", f"since {ago(now, status.written_at)}: the daemon does not answer"
    if not status.undelivered:
        return "nothing to deliver", ""
    if status.delivered > status.delivered_before:
        return "delivering", ""
    since = status.store_error_since or status.last_progress_at or status.started_at
    why = status.store_error or "rows wait, and none has arrived"
    return "not delivering", f"since {ago(now, since)}: {why}"


def ago(now: datetime, moment: datetime) -> str:
    """
    >>> noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    >>> ago(noon, noon - timedelta(seconds=90))
    '2026-03-02 11:58:30 UTC (90 s)'
    """
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({lasting(now - moment)})"


def lasting(elapsed: timedelta) -> str:
    """
    >>> [lasting(timedelta(seconds=s)) for s in (-5, 8.4, 90, 9_000, 400_000)]
    ['0 s', '8 s', '90 s', '2.5 h', '4.6 days']
    """
    seconds = max(0.0, elapsed.total_seconds())
    for size, unit in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"
