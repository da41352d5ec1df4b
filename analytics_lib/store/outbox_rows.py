"""The outbox in the database: who may send a mail now, and what became of it.

A mail is claimed, and the claim committed, before the mail server is spoken to. Of two that want to send
it, one wins: on Postgres the insert or the update waits for the other's row and then looks again (READ
COMMITTED); on SQLite BEGIN IMMEDIATE lets one in at a time. States:

    claimed ─▶ sent       the server took it
            ─▶ failed     it did not take it now (4xx, no connection): claimed again by the next run
            ─▶ refused    it never will (5xx)
            ─▶ unknown    the connection or the process was lost in between: it may have gone out

`unknown` and `refused` are claimed again only by a person's command.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from analytics_lib.schema import outbox

MOST_ATTEMPTS: Final = 5
State = Literal["claimed", "sent", "failed", "refused", "unknown"]
_LOST: Final = "the process that claimed it ended before the outcome was known"


@dataclass(frozen=True, slots=True)
class MailKey:
    """One mail: which report (or "insight"), for which period (or which insight), to whom."""

    report: str
    period: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send a mail once. `by` names the process and this very attempt."""

    key: MailKey
    by: str


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One row of the outbox."""

    key: MailKey
    state: State
    claimed_at_us: int
    finished_at_us: int | None
    attempts: int
    message_id: str
    subject: str
    problem: str


def claim(connection: Connection, claim: Claim, *, at_us: int, message_id: str, subject: str) -> bool:
    """Whether the mail may be sent by this claim: it is new, or has failed fewer than five times.

    The caller commits before it speaks to the mail server.
    """
    values = {
        "state": "claimed",
        "claimed_by": claim.by,
        "claimed_at_us": at_us,
        "finished_at_us": None,
        "message_id": message_id,
        "subject": subject,
        "problem": "",
    }
    made = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(outbox)
    new = made.values(**_columns(claim.key), **values, attempts=1).on_conflict_do_nothing()
    # Unless told so, SQLAlchemy forgets the count of an insert on Postgres.
    if connection.execute(new, execution_options={"preserve_rowcount": True}).rowcount == 1:
        return True
    return _claim_again(connection, claim.key, ("failed",), MOST_ATTEMPTS, values)


def claim_on_command(connection: Connection, claim: Claim, *, at_us: int) -> bool:
    """Whether a mail that was not sent, for whatever reason, may be sent by this claim."""
    values = {"state": "claimed", "claimed_by": claim.by, "claimed_at_us": at_us, "finished_at_us": None}
    return _claim_again(
        connection, claim.key, ("failed", "refused", "unknown"), None, values | {"problem": ""}
    )


def finish(
    connection: Connection, claim: Claim, state: State, *, at_us: int, problem: str, tried: bool
) -> bool:
    """Writes the outcome, if the claim still stands (or was given up as lost meanwhile).

    `tried` False: the server was not reached, which does not count as an attempt.
    """
    statement = (
        update(outbox)
        .where(_is(claim.key), outbox.c.claimed_by == claim.by, outbox.c.state.in_(("claimed", "unknown")))
        .values(
            state=state,
            finished_at_us=at_us,
            problem=problem,
            attempts=outbox.c.attempts - (0 if tried else 1),
        )
    )
    return connection.execute(statement).rowcount == 1


def give_up_lost_claims(connection: Connection, *, before_us: int) -> int:
    """Claims older than that become unknown: whoever made them is gone. How many there were."""
    statement = (
        update(outbox)
        .where(outbox.c.state == "claimed", outbox.c.claimed_at_us < before_us)
        .values(state="unknown", problem=_LOST)
    )
    return connection.execute(statement).rowcount


def read_outbox(connection: Connection, states: Collection[str] = (), limit: int = 1_000) -> list[OutboxRow]:
    """Mails in these states (all, if none are named), the latest first."""
    query = select(outbox).order_by(outbox.c.claimed_at_us.desc(), *outbox.primary_key.columns).limit(limit)
    if states:
        query = query.where(outbox.c.state.in_(sorted(states)))
    return [_row(row) for row in connection.execute(query)]


def read_mails(connection: Connection, report: str, period: str) -> dict[str, OutboxRow]:
    """What became of the mails of one report and period, by recipient."""
    query = select(outbox).where(outbox.c.report == report, outbox.c.period == period)
    return {row.recipient: _row(row) for row in connection.execute(query)}


def read_to_retry(connection: Connection, *, since_us: int) -> list[OutboxRow]:
    """Failed mails that were claimed since then and have attempts left, oldest first."""
    query = (
        select(outbox)
        .where(
            outbox.c.state == "failed", outbox.c.attempts < MOST_ATTEMPTS, outbox.c.claimed_at_us >= since_us
        )
        .order_by(outbox.c.claimed_at_us, *outbox.primary_key.columns)
    )
    return [_row(row) for row in connection.execute(query)]


def count_claimed_since(connection: Connection, report: str, recipient: str, since_us: int) -> int:
    """How many mails of this kind the recipient was sent, or may have been, since then."""
    query = select(func.count()).where(
        outbox.c.report == report,
        outbox.c.recipient == recipient,
        outbox.c.claimed_at_us >= since_us,
        or_(outbox.c.state != "failed", outbox.c.attempts > 0),
    )
    return int(connection.execute(query).scalar_one())


def _claim_again(
    connection: Connection, key: MailKey, states: Collection[str], most: int | None, values: dict[str, Any]
) -> bool:
    statement = update(outbox).where(_is(key), outbox.c.state.in_(sorted(states)))
    if most is not None:
        statement = statement.where(outbox.c.attempts < most)
    return connection.execute(statement.values(**values, attempts=outbox.c.attempts + 1)).rowcount == 1


def _is(key: MailKey) -> Any:
    return and_(*(outbox.c[name] == value for name, value in _columns(key).items()))


def _columns(key: MailKey) -> dict[str, str]:
    return {"report": key.report, "period": key.period, "recipient": key.recipient}


def _row(row: Any) -> OutboxRow:
    return OutboxRow(
        key=MailKey(row.report, row.period, row.recipient),
        state=row.state,
        claimed_at_us=row.claimed_at_us,
        finished_at_us=row.finished_at_us,
        attempts=row.attempts,
        message_id=row.message_id,
        subject=row.subject,
        problem=row.problem,
    )
