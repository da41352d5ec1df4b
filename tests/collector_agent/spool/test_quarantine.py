"""What is kept aside: once, within limits, and for as long as nobody decides about it."""

from pathlib import Path

import pytest

from analytics_lib.record_values import FIELDS
from collector_agent.spool import quarantine as module
from collector_agent.spool.quarantine import Entry, LocalQuarantine
from collector_agent.spool.writer import SpoolWriter
from tests.collector_agent.spool.rows import Database, row, ship_all

pytestmark = pytest.mark.portable


@pytest.fixture
def quarantine(tmp_path: Path) -> LocalQuarantine:
    return LocalQuarantine(tmp_path / "quarantine")


def test_a_row_is_kept_with_all_that_is_known_of_it(quarantine: LocalQuarantine) -> None:
    assert quarantine.entries() == []
    assert quarantine.add("no such status", where="set/00000001/12", record=row(1))
    [entry] = quarantine.entries()
    assert entry == Entry(
        name="set_00000001_12.json",
        where="set/00000001/12",
        reason="no such status",
        added_at_us=entry.added_at_us,
        kind=row(1)[0],
        values=row(1)[1],
        names=FIELDS[row(1)[0]],
    )


def test_bytes_are_kept_as_they_are(quarantine: LocalQuarantine) -> None:
    assert quarantine.add("damaged bytes", where="set/00000001/12", raw=bytes(range(256)))
    [entry] = quarantine.entries()
    assert (entry.raw, entry.kind, entry.values) == (bytes(range(256)), "", ())


def test_what_comes_again_from_the_same_place_is_kept_once(quarantine: LocalQuarantine) -> None:
    for reason in ("first", "second"):
        assert quarantine.add(reason, where="set/00000001/12", record=row(1))
        assert LocalQuarantine(quarantine.folder).add(reason, where="set/00000001/12", record=row(1))
    assert [entry.reason for entry in quarantine.entries()] == ["first"]


def test_values_that_no_file_takes_are_kept_as_text(quarantine: LocalQuarantine) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert quarantine.add("odd", where="set/00000001/1", record=("step", [object()]))
    del deep
    [entry] = quarantine.entries()
    assert b"object object" in (entry.raw or b"")


def test_a_full_quarantine_says_so_and_takes_again_when_there_is_room(
    quarantine: LocalQuarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    assert [quarantine.add("bad", where=f"set/1/{at}", record=row(at)) for at in range(3)] == [
        True,
        True,
        False,
    ]
    assert quarantine.add("bad", where="set/1/0", record=row(0))  # it is there
    by_somebody_else = LocalQuarantine(quarantine.folder)
    by_somebody_else.discard(by_somebody_else.entries()[0])
    assert quarantine.add("bad", where="set/1/3", record=row(3))
    quarantine.discard(quarantine.entries()[0])
    assert quarantine.add("bad", where="set/1/4", record=row(4))
    assert [entry.where for entry in quarantine.entries()] == ["set/1/3", "set/1/4"]


def test_large_entries_fill_it_sooner(quarantine: LocalQuarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 3_000)
    assert quarantine.add("damaged", where="set/1/0", raw=bytes(1_500))
    assert not quarantine.add("damaged", where="set/1/1", raw=bytes(1_500))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"where":"x"}', "[" * 100_000, '{"raw":"?"}'])
def test_an_entry_that_cannot_be_read_is_shown_and_can_be_discarded(
    quarantine: LocalQuarantine, content: str
) -> None:
    quarantine.folder.mkdir()
    (quarantine.folder / "x.json").write_text(content)
    (quarantine.folder / "x.json.new").write_text("half-written")
    [entry] = quarantine.entries()
    assert entry.reason.startswith("this entry cannot be read")
    quarantine.discard(entry)
    assert quarantine.entries() == []
    quarantine.discard(entry)


def test_a_row_is_delivered_after_all(quarantine: LocalQuarantine, tmp_path: Path) -> None:
    assert quarantine.add("the store was broken", where="set/1/0", record=row(1))
    names = ("execution_id", "workflow_id", "sent_at_us")  # an older version's
    older = ("execution_heartbeat", ["e2", "w", 5])
    assert quarantine.add("the store was broken", where="set/1/1", record=older, names=names)
    writer = SpoolWriter(tmp_path)
    assert [quarantine.retry(entry, writer) for entry in quarantine.entries()] == [True, True]
    writer.close()
    assert quarantine.entries() == []
    database = Database()
    ship_all(tmp_path, database)
    assert database.rows["e1"] == row(1)
    assert database.rows["e2"][1][6:] == ("w", 5)


def test_what_nobody_can_deliver_stays(quarantine: LocalQuarantine, tmp_path: Path) -> None:
    quarantine.add("damaged", where="set/1/0", raw=b"?")
    quarantine.add("unknown", where="set/1/1", record=("dream", [1]), names=["depth"])
    writer = SpoolWriter(tmp_path)
    assert [quarantine.retry(entry, writer) for entry in quarantine.entries()] == [False, False]
    assert len(quarantine.entries()) == 2
    assert writer.rows == 0


def test_a_row_stays_where_the_spool_does_not_take_it_for_good(
    quarantine: LocalQuarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine.add("bad", where="set/1/0", record=row(1))
    writer = SpoolWriter(tmp_path)
    monkeypatch.setattr(writer, "sync", lambda: False)
    assert not quarantine.retry(quarantine.entries()[0], writer)
    assert len(quarantine.entries()) == 1
    monkeypatch.undo()
    writer.close()


def test_two_processes_may_begin_it_at_once(
    quarantine: LocalQuarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine._files, "make_folders", lambda _: quarantine.folder.mkdir(), raising=False)
    assert quarantine.add("bad", where="set/1/0", record=row(0))
    assert len(quarantine.entries()) == 1
