"""One file: what is written is read back, what is damaged is noticed."""

import os
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib.archive import reading, writing
from analytics_lib.archive.content_hash import hash_of
from analytics_lib.archive.parquet_schema import parquet_schema
from analytics_lib.catalog import Source
from analytics_lib.errors import ArchiveError, ArchiveUnwritableError
from analytics_lib.schema import RAW_TABLES, SCHEMA_VERSION
from analytics_lib.store.rows import LAYOUTS
from analytics_lib.windows import Window, day_of, to_us
from tests.make import NOON, at, execution, sample, step

DAY_US = day_of(to_us(NOON))
WHOLE_DAY = Window(DAY_US, DAY_US + 86_400_000_000)


def as_rows(source: Source, records: list[Any]) -> list[tuple[Any, ...]]:
    layout = LAYOUTS[source]
    order = [layout.position(column.name) for column in RAW_TABLES[source].columns]
    return [tuple(layout.to_row(record)[i] for i in order) for record in records]


def written(folder: Path, source: Source, records: list[Any], part: int = 0) -> writing.WrittenPart:
    found = writing.write_part(folder, source, DAY_US, part, [as_rows(source, records)])
    assert found is not None
    writing.publish(found)
    return found


def manifest(source: Source, *parts: writing.WrittenPart) -> pd.DataFrame:
    return pd.DataFrame(
        [(source, part.path, part.n, part.content_hash) for part in parts],
        columns=["source", "path", "n", "content_hash"],
    )


STEPS = [step("e1", n, at(n), step_id=f"s{n % 2}", duration_ms=n + 0.1) for n in range(50)]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    part = written(tmp_path, "step", STEPS)
    assert part.path == "step/day=2026-03-02/part-0.parquet"
    found = reading.read_back(part.file, ["step_seq", "execution_id"])
    assert (found.n, found.content_hash) == (50, part.content_hash)
    assert found.tuples()[3] == (3, "e1")
    assert part.file_bytes == part.file.stat().st_size
    assert [file.name for file in part.file.parent.iterdir()] == ["part-0.parquet"]


@pytest.mark.parametrize(
    ("source", "records"),
    [
        (
            "execution",
            [execution("e1", attributes={"a": "ü"}, steps_total=3), execution("e2", message="\n'")],
        ),
        ("step", [step("e1", 1, parent_step_seq=0), step("e1", 2, at(1), clock_skewed=True)]),
        ("resource", [sample(), sample(at(1), memory_used_bytes=2**52 + 1, cpu_percent=None)]),
    ],
)
def test_a_day_comes_back_as_the_rows_it_was(tmp_path: Path, source: Source, records: list[Any]) -> None:
    part = written(tmp_path, source, records)
    table = pq.ParquetFile(part.file).read()
    columns = table.to_pydict()
    assert list(zip(*columns.values(), strict=True)) == as_rows(source, records)
    frame = reading.read_day(tmp_path, manifest(source, part), source, DAY_US)
    assert list(frame.columns) == [column.name for column in RAW_TABLES[source].columns]
    assert len(frame) == len(records)


def test_the_file_describes_itself(tmp_path: Path) -> None:
    file = pq.ParquetFile(written(tmp_path, "step", STEPS).file)
    schema = file.schema_arrow
    assert schema.metadata[b"rpa_schema_version"] == str(SCHEMA_VERSION).encode()
    assert schema.field("duration_ms").metadata[b"unit"] == b"ms"
    assert schema.field("ended_at_us").metadata[b"unit"].decode() == "µs since 1970-01-01 UTC"
    assert b"hour it counts in" in schema.field("ended_at_us").metadata[b"comment"]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert not schema.field("step_id").nullable
    assert schema.field("parent_step_seq").nullable


def test_other_engines_need_nothing_but_the_file(tmp_path: Path) -> None:
    found = pd.read_parquet(written(tmp_path, "resource", [sample(), sample(at(1))]).file)
    assert list(found["cpu_percent"]) == [50.0, 50.0]


def test_nothing_to_write_leaves_no_file(tmp_path: Path) -> None:
    assert writing.write_part(tmp_path, "step", DAY_US, 0, [[], []]) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_only_the_window_and_the_columns_are_read_and_rows_of_two_parts_once(tmp_path: Path) -> None:
    parts = [written(tmp_path, "step", STEPS[:30]), written(tmp_path, "step", STEPS[30:], part=1)]
    window = Window(to_us(at(20)), to_us(at(40)))
    found = reading.read_archived(tmp_path, manifest("step", *parts), "step", window, ["step_seq", "depth"])
    assert (list(found["step_seq"]), list(found.columns)) == ([*range(20, 40)], ["step_seq", "depth"])
    again = written(tmp_path, "step", STEPS[25:], part=2)
    assert len(reading.read_day(tmp_path, manifest("step", *parts, again), "step", DAY_US)) == 50


def test_no_parts_are_no_rows_of_the_right_types() -> None:
    found = reading.read_archived(None, manifest("step"), "step", WHOLE_DAY, ["step_seq", "duration_ms"])
    assert (len(found), found["step_seq"].dtype, found["duration_ms"].dtype) == (0, np.int64, np.float64)


def test_rows_without_a_named_archive_are_refused() -> None:
    part = writing.WrittenPart(Path(), "step/x", 3, "", 0)
    with pytest.raises(ArchiveError, match=r"3 rows of source step .* set RPA_ANALYTICS_ARCHIVE"):
        reading.read_archived(None, manifest("step", part), "step", WHOLE_DAY, ["step_seq"])


def test_a_file_from_before_a_column_existed_is_read_with_its_default(tmp_path: Path) -> None:
    part = written(tmp_path, "step", STEPS)
    older = pq.ParquetFile(part.file).read().drop_columns(["queue", "parent_step_seq"])
    pq.write_table(older, part.file)
    row = manifest("step", part).assign(content_hash=reading.read_back(part.file, []).content_hash)
    found = reading.read_day(tmp_path, row, "step", DAY_US, ["queue", "parent_step_seq"])
    assert (set(found["queue"]), found["parent_step_seq"].isna().all()) == ({""}, True)


def test_a_file_that_is_gone_or_holds_other_rows_is_refused(tmp_path: Path) -> None:
    part = written(tmp_path, "step", STEPS)
    written(tmp_path, "step", STEPS[1:])
    with pytest.raises(ArchiveError, match=r"holds 49 rows .* says 50 .* restore it from a backup"):
        reading.read_day(tmp_path, manifest("step", part), "step", DAY_US)
    part.file.unlink()
    with pytest.raises(ArchiveError, match="is gone"):
        reading.read_day(tmp_path, manifest("step", part), "step", DAY_US)


def test_a_flipped_bit_anywhere_is_an_error_or_changes_nothing(tmp_path: Path) -> None:
    part = written(tmp_path, "step", STEPS)
    whole = part.file.read_bytes()
    names = parquet_schema("step").names
    rows = reading.read_back(part.file, names).tuples()
    refused = 0
    positions = range(0, len(whole), 7)
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        part.file.write_bytes(damaged)
        try:
            found = reading.read_checked(part.file, part.n, part.content_hash, names)
        except ArchiveError:
            refused += 1
        else:  # statistics, comments: nothing that a row is made of
            assert found.tuples() == rows, position
    assert refused > len(positions) / 3


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    part = written(tmp_path, "step", STEPS)
    whole = part.file.read_bytes()
    for length in (0, 3, 4, len(whole) // 2, len(whole) - 1):
        part.file.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match="cannot be read"):
            reading.read_back(part.file, ["step_id"])


def test_a_full_disk_is_said_plainly_and_leaves_no_file(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
            try:
                written(tmp_path, "step", STEPS)
            except ArchiveUnwritableError as error:
                code = 0 if "make room" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_in_the_folders_place_is_said_plainly(tmp_path: Path) -> None:
    place = tmp_path / "archive"
    place.write_text("mine")
    with pytest.raises(ArchiveUnwritableError, match="cannot be written"):
        written(place, "step", STEPS)


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    part = writing.write_part(tmp_path, "step", DAY_US, 0, [as_rows("step", STEPS)])
    assert part is not None
    assert part.unfinished.is_file()
    assert writing.remove_unfinished(tmp_path) == 1
    assert not part.unfinished.exists()
    assert writing.remove_unfinished(tmp_path / "none") == 0


def test_a_value_that_does_not_fit_its_column_is_never_rounded(tmp_path: Path) -> None:
    [row] = as_rows("step", STEPS[:1])
    names = parquet_schema("step").names
    wrong = [1.5 if name == "step_seq" else value for name, value in zip(names, row, strict=True)]
    with pytest.raises(pa.ArrowInvalid):
        writing.write_part(tmp_path, "step", DAY_US, 0, [[wrong]])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


values = st.fixed_dictionaries(
    {
        "text": st.text(max_size=5),
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "number": st.none() | st.floats(allow_nan=False),
        "flag": st.booleans(),
    }
)
TYPES = pa.schema(
    [("text", pa.string()), ("count", pa.int64()), ("number", pa.float64()), ("flag", pa.bool_())]
)


def total(rows: list[dict[str, Any]], batch_rows: int) -> int:
    batches = pa.Table.from_pylist(rows, TYPES).to_batches(max_chunksize=batch_rows)
    return sum(hash_of(batch) for batch in batches) % 2**64


@given(st.lists(values, min_size=1, max_size=8), st.randoms(), st.integers(1, 3), st.data())
def test_the_hash_knows_rows_but_not_their_order(
    rows: list[dict[str, Any]], random: Any, batch_rows: int, data: st.DataObject
) -> None:
    expected = total(rows, 100)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert total(shuffled, batch_rows) == expected
    assert total(rows[1:], 100) != expected
    assert total([*rows, rows[0]], 100) != expected
    changed = data.draw(values)
    if [repr(changed[name]) for name in TYPES.names] != [repr(rows[0][name]) for name in TYPES.names]:
        assert total([changed, *rows[1:]], 100) != expected


def test_the_hash_of_an_archive_stays_what_it_is() -> None:
    rows = [
        {"text": "ü", "count": 7, "number": 0.5, "flag": True},
        {"text": "", "count": None, "number": None, "flag": False},
    ]
    assert f"{total(rows, 9):016x}" == "52c242405892528e"
