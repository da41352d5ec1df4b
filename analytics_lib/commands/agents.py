"""`rpa-analytics agents`: which agents are alive, which are silent, and what waits where."""

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from analytics_lib import formats
from analytics_lib.commands.arguments import add_command, add_store, store_location
from analytics_lib.windows import DAY_US, SECOND_US, from_us, to_us

if TYPE_CHECKING:
    from analytics_lib.store.agent_rows import AgentSeen

SILENT_US: Final = 5 * 60 * SECOND_US
INTERVALS: Final = 3
JUDGED_BY: Final = f"no sign for 5 min, or for {INTERVALS} of its own intervals where these are longer"
STATES: Final = ("silent", "problem", "alive", "ended")  # in the order in which they are listed


def add_commands(commands: Any) -> None:
    """Adds `agents list` to the command line's commands."""
    what = "the agents on the robots' machines: last seen, backlog, rows lost, problems"
    group = commands.add_parser("agents", help=what, description=what)
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = add_command(
        actions, "list", f"the agents, silent ones first ({JUDGED_BY}), then those with problems", _list
    )
    add_store(listing)
    listing.add_argument("--json", action="store_true", help="as a JSON list, for programs")
    listing.add_argument(
        "--all", action="store_true", help="the collectors inside robots too that were seen within a day"
    )


@dataclass(frozen=True)
class _Judged:
    """An agent as it is listed. The age is by the database's clock, where both offsets from it are known."""

    agent: "AgentSeen"
    age_us: int
    silent_after_us: int

    @property
    def state(self) -> str:
        if self.age_us > self.silent_after_us:
            # A collector ends with its robot; only a daemon is missed.
            return "ended" if self.agent.component == "collector" else "silent"
        return "problem" if self.agent.problem or self.agent.rows_dropped else "alive"


def judge(agent: "AgentSeen", now_us: int, own_offset_ms: float | None) -> _Judged:
    """How long ago its last sign is, and whether that is too long."""
    age_us = now_us - agent.sent_at_us
    if own_offset_ms is not None and agent.clock_offset_ms is not None:
        age_us += round((own_offset_ms - agent.clock_offset_ms) * 1000)
    return _Judged(agent, max(0, age_us), max(SILENT_US, INTERVALS * (agent.interval_us or 0)))


def _list(arguments: argparse.Namespace) -> int:
    from analytics_lib.store import open_store
    from analytics_lib.store.agent_rows import read_agents
    from analytics_lib.store.engine import connect_to_read

    now_us = to_us(datetime.now(UTC))
    since_us = now_us - DAY_US if arguments.all else None
    with open_store(store_location(arguments)) as store:
        own_offset_ms = store.clock_offset_ms()
        with connect_to_read(store.engine) as connection:
            agents = read_agents(connection, collectors_since_us=since_us)
    judged = [judge(agent, now_us, own_offset_ms) for agent in agents]
    # Sorted twice, and the sort is stable: those that are silent longest, then the others by host.
    judged.sort(key=lambda one: -one.age_us if one.state == "silent" else 0)
    judged.sort(key=lambda one: STATES.index(one.state))
    if arguments.json:
        print(json.dumps([_as_json(one) for one in judged], indent=2))
        return 0
    for one in judged:
        print(formats.printable(formats.plain(_line(one))))
    print(_summary(judged))
    return 0


def _line(one: _Judged) -> str:
    """One agent in one line: what is as it should be is not told."""
    agent = one.agent
    what = " ".join(filter(None, (agent.component or "agent", agent.agent_version)))
    facts = [f"seen {formats.duration_text(one.age_us / 1000)} ago", *_backlog(one)]
    if agent.rows_dropped:
        facts.append(f"{formats.runs_text(agent.rows_dropped, 'row')} dropped")
    if agent.rows_quarantined:
        facts.append(f"{formats.runs_text(agent.rows_quarantined, 'row')} quarantined")
    if agent.clock_offset_ms is not None and abs(agent.clock_offset_ms) >= 1000:
        off = formats.duration_text(abs(agent.clock_offset_ms))
        facts.append(f"clock {off} {'behind' if agent.clock_offset_ms > 0 else 'ahead'}")
    if agent.problem:
        facts.append(formats.shortened(agent.problem, 300))
    name = formats.name_text(agent.host or agent.agent_id, 80)
    return f"{one.state:7}  {name}  {what}: {'; '.join(facts)}"


def _backlog(one: _Judged) -> list[str]:
    agent = one.agent
    if not agent.rows_pending and not agent.spool_bytes:
        return []
    spool = f" ({formats.bytes_text(agent.spool_bytes)} of spool)" if agent.spool_bytes else ""
    oldest = ""
    if agent.oldest_undelivered_at_us is not None:
        waited_us = max(0, agent.sent_at_us - agent.oldest_undelivered_at_us) + one.age_us
        oldest = f", the oldest {formats.duration_text(waited_us / 1000)} old"
    return [f"{formats.runs_text(agent.rows_pending, 'row')} waiting{spool}{oldest}"]


def _summary(judged: list[_Judged]) -> str:
    if not judged:
        return "no agent has given a sign of life (--all shows the collectors inside robots too)"
    states = Counter(one.state for one in judged)
    told = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    return f"{told} (silent: {JUDGED_BY})" if states["silent"] else told


def _as_json(one: _Judged) -> dict[str, Any]:
    oldest_us = one.agent.oldest_undelivered_at_us
    return {
        "state": one.state,
        "last_seen": from_us(one.agent.sent_at_us).isoformat(),
        "age_s": one.age_us / SECOND_US,
        "silent_after_s": one.silent_after_us / SECOND_US,
        "oldest_undelivered_at": None if oldest_us is None else from_us(oldest_us).isoformat(),
        **asdict(one.agent),
    }
