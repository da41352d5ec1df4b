"""The last signs of life of each agent, read by as many looks into an index as there are agents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Final

from sqlalchemy import Connection, func, literal, select, union_all

from analytics_lib.schema import agent_heartbeat
from analytics_lib.windows import DAY_US

DAEMONS: Final = ("daemon", "")  # '': an older agent, which does not say what it is
COLLECTOR: Final = "collector"
_SIGNS: Final = 5  # so many are looked at to see how often an agent gives one


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeen:
    """What an agent said last, as it stands in the table, and how often it says something."""

    agent_id: str
    host: str
    environment: str
    component: str
    agent_version: str
    sent_at_us: int
    complete_to_us: int
    interval_us: int | None  # the shortest time between its last signs; None where it gave a single one
    rows_recorded: int
    rows_delivered: int
    rows_pending: int
    rows_dropped: int
    rows_quarantined: int
    spool_bytes: int
    oldest_undelivered_at_us: int | None
    clock_offset_ms: float | None
    problem: str


_COLUMNS: Final = [agent_heartbeat.c[name] for name in AgentSeen.__slots__ if name != "interval_us"]


def read_agents(connection: Connection, *, collectors_since_us: int | None = None) -> list[AgentSeen]:
    """The daemons, and the collectors of robots that were seen since a moment, if one is given.

    Agents of an older release do not say what they are. Of those of a host only the last one is given,
    and that only if nobody was seen there since: most of them were robots', and ended with them.
    """
    seen = [_last(list(signs)) for _, signs in groupby(_last_signs(connection), key=lambda row: row.agent_id)]
    agents = [one for one in seen if one.component] + _unrelieved(seen)
    if collectors_since_us is not None:
        agents += [_last([row]) for row in _collectors(connection, collectors_since_us)]
    return sorted(agents, key=lambda agent: (agent.host, agent.component != "daemon", agent.agent_id))


def _last_signs(connection: Connection) -> Sequence[Any]:
    """The last signs of each daemon, the newest first.

    A query that groups by agent would read every sign of months. This one goes from one agent to the
    next within the index (component, agent_id, sent_at_us), and takes the last few of each.
    """
    sign = agent_heartbeat.alias("sign")
    kind = union_all(*(select(literal(component).label("component")) for component in DAEMONS)).subquery()
    first = select(func.min(sign.c.agent_id)).where(sign.c.component == kind.c.component)
    agent = select(kind.c.component, first.scalar_subquery().label("agent_id")).cte("agent", recursive=True)
    following = select(func.min(sign.c.agent_id)).where(
        sign.c.component == agent.c.component, sign.c.agent_id > agent.c.agent_id
    )
    agent = agent.union_all(
        select(agent.c.component, following.scalar_subquery()).where(agent.c.agent_id.is_not(None))
    )
    last = (
        select(sign.c.sent_at_us)
        .where(sign.c.component == agent.c.component, sign.c.agent_id == agent.c.agent_id)
        .order_by(sign.c.sent_at_us.desc())
        .limit(_SIGNS)
        .correlate(agent)
        .subquery()
    )
    since = select(agent, select(func.min(last.c.sent_at_us)).scalar_subquery().label("since_us")).subquery()
    table = agent_heartbeat
    return connection.execute(
        select(*_COLUMNS)
        .join(since, (table.c.component == since.c.component) & (table.c.agent_id == since.c.agent_id))
        .where(table.c.sent_at_us >= since.c.since_us)
        .order_by(table.c.agent_id, table.c.sent_at_us.desc())
    ).all()


def _collectors(connection: Connection, since_us: int) -> Sequence[Any]:
    """The last sign of each collector that gave one since the moment."""
    table = agent_heartbeat
    last = (
        select(table.c.agent_id, func.max(table.c.sent_at_us).label("sent_at_us"))
        .where(table.c.component == COLLECTOR, table.c.sent_at_us >= since_us)
        .group_by(table.c.agent_id)
        .subquery()
    )
    return connection.execute(
        select(*_COLUMNS).join(
            last, (table.c.agent_id == last.c.agent_id) & (table.c.sent_at_us == last.c.sent_at_us)
        )
    ).all()


def _last(signs: list[Any]) -> AgentSeen:
    """The newest sign; gaps of a day and more say nothing of how often there is one."""
    gaps = [later.sent_at_us - earlier.sent_at_us for later, earlier in pairwise(signs)]
    interval_us = min((gap for gap in gaps if gap < DAY_US), default=None)
    return AgentSeen(**signs[0]._mapping, interval_us=interval_us)


def _unrelieved(seen: Iterable[AgentSeen]) -> list[AgentSeen]:
    """Of the agents that do not say what they are, those that are the last that their host heard of."""
    last: dict[str, AgentSeen] = {}
    for agent in seen:
        if agent.host not in last or agent.sent_at_us > last[agent.host].sent_at_us:
            last[agent.host] = agent
    return [agent for agent in last.values() if not agent.component]
