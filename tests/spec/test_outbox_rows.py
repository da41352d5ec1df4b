"""The outbox on both databases: who may send a mail, and what becomes of a claim."""

from collections.abc import Iterator

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.store import outbox_rows
from analytics_lib.store.outbox_rows import Claim, MailKey, OutboxRow, State
from tests.databases import CopyOf, with_tables

MAIL = MailKey("weekly", "2026-11-16 2026-11-23 UTC", "ann@example.com")


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(with_tables)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location) as opened:
        yield opened


def claim(store: TimeSeriesStore, by: str, at_us: int = 0, key: MailKey = MAIL) -> bool:
    with store.engine.begin() as connection:
        return outbox_rows.claim(connection, Claim(key, by), at_us=at_us, message_id="<m@x>", subject="s")


def claim_on_command(store: TimeSeriesStore, by: str) -> bool:
    with store.engine.begin() as connection:
        return outbox_rows.claim_on_command(connection, Claim(MAIL, by), at_us=9)


def finish(store: TimeSeriesStore, by: str, state: State, problem: str = "", *, tried: bool = True) -> bool:
    with store.engine.begin() as connection:
        return outbox_rows.finish(connection, Claim(MAIL, by), state, at_us=5, problem=problem, tried=tried)


def give_up(store: TimeSeriesStore, before_us: int) -> int:
    with store.engine.begin() as connection:
        return outbox_rows.give_up_lost_claims(connection, before_us=before_us)


def row(store: TimeSeriesStore) -> OutboxRow:
    with store.engine.begin() as connection:
        return outbox_rows.read_mails(connection, MAIL.report, MAIL.period)[MAIL.recipient]


def test_the_first_claim_wins_and_the_second_does_not(store: TimeSeriesStore) -> None:
    assert claim(store, "a")
    assert not claim(store, "b")
    assert claim(store, "b", key=MailKey(MAIL.report, MAIL.period, "bob@example.com"))
    assert finish(store, "a", "sent")
    assert not claim(store, "b")
    assert (row(store).state, row(store).attempts, row(store).finished_at_us) == ("sent", 1, 5)


def test_a_failure_is_claimed_again_up_to_five_times(store: TimeSeriesStore) -> None:
    for attempt in range(1, 6):
        assert claim(store, f"a{attempt}", at_us=attempt)
        assert finish(store, f"a{attempt}", "failed", "451")
        assert (row(store).attempts, row(store).problem) == (attempt, "451")
    assert not claim(store, "a6")
    with store.engine.begin() as connection:
        assert outbox_rows.read_to_retry(connection, since_us=0) == []


def test_a_server_that_was_not_there_is_no_attempt(store: TimeSeriesStore) -> None:
    for n in range(10):
        assert claim(store, f"a{n}")
        assert finish(store, f"a{n}", "failed", "nobody there", tried=False)
    assert row(store).attempts == 0


@pytest.mark.parametrize("state", ["refused", "unknown"])
def test_what_is_refused_or_unknown_is_claimed_only_on_command(store: TimeSeriesStore, state: State) -> None:
    assert claim(store, "a")
    assert finish(store, "a", state, "why")
    assert not claim(store, "b")
    assert claim_on_command(store, "b")
    assert not claim_on_command(store, "c")
    assert (row(store).state, row(store).attempts, row(store).problem) == ("claimed", 2, "")
    assert finish(store, "b", "sent")
    assert not claim_on_command(store, "c")


def test_an_old_claim_becomes_unknown_and_a_young_one_stays(store: TimeSeriesStore) -> None:
    assert claim(store, "a", at_us=100)
    assert give_up(store, 100) == 0
    assert give_up(store, 101) == 1
    assert row(store).state == "unknown"
    assert "ended before the outcome was known" in row(store).problem
    assert give_up(store, 101) == 0


def test_whoever_was_only_slow_may_still_say_what_happened(store: TimeSeriesStore) -> None:
    assert claim(store, "a", at_us=100)
    assert give_up(store, 101) == 1
    assert finish(store, "a", "sent")
    assert row(store).state == "sent"


def test_a_claim_that_another_has_taken_settles_nothing(store: TimeSeriesStore) -> None:
    assert claim(store, "a")
    assert finish(store, "a", "failed")
    assert claim(store, "b")
    assert not finish(store, "a", "sent")
    assert row(store).state == "claimed"


def test_failed_mails_are_listed_to_be_tried_again(store: TimeSeriesStore) -> None:
    assert claim(store, "a", at_us=100)
    assert finish(store, "a", "failed", "451")
    with store.engine.begin() as connection:
        assert [r.key for r in outbox_rows.read_to_retry(connection, since_us=100)] == [MAIL]
        assert outbox_rows.read_to_retry(connection, since_us=101) == []
        assert [r.key for r in outbox_rows.read_outbox(connection, ["failed"])] == [MAIL]
        assert outbox_rows.read_outbox(connection, ["sent"]) == []


def test_what_was_sent_today_is_counted_and_a_server_that_was_not_there_is_not(
    store: TimeSeriesStore,
) -> None:
    def count(since_us: int) -> int:
        with store.engine.begin() as connection:
            return outbox_rows.count_claimed_since(connection, MAIL.report, MAIL.recipient, since_us)

    assert claim(store, "a", at_us=100)
    assert (count(100), count(101)) == (1, 0)
    assert finish(store, "a", "failed", tried=False)
    assert count(100) == 0
