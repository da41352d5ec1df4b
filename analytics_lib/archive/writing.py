"""A day's rows into a Parquet file that either is there, whole, or is not.

A part is written under a temporary name, synced, renamed, and its folder synced. Whoever archives then
reads it back (`reading.read_back`) before anything is deleted. A file that no manifest row names was
left by a run that was killed in between: it is written anew.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from analytics_lib.archive.content_hash import MODULUS, hash_of
from analytics_lib.archive.parquet_schema import parquet_schema, part_path
from analytics_lib.catalog import Source
from analytics_lib.errors import ArchiveUnwritableError

UNFINISHED: Final = ".unfinished"
ZSTD_LEVEL: Final = 9


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part under its temporary name, and what its rows were when they left the database."""

    folder: Path
    path: str  # relative to the folder, with slashes
    n: int
    content_hash: str
    file_bytes: int

    @property
    def file(self) -> Path:
        return self.folder / self.path

    @property
    def unfinished(self) -> Path:
        return self.file.with_name(f".{self.file.name}.{os.getpid()}{UNFINISHED}")


def write_part(
    folder: Path, source: Source, day_us: int, part: int, batches: Iterable[Sequence[Sequence[Any]]]
) -> WrittenPart | None:
    """Writes rows (in the table's column order) under a temporary name, synced; None without any row.

    Raises ArchiveUnwritableError when the folder cannot be made or the disk is full; then no file is left.
    """
    written = WrittenPart(folder, part_path(source, day_us, part), 0, "", 0)
    n, content_hash = 0, 0
    try:
        written.file.parent.mkdir(parents=True, exist_ok=True)
        with written.unfinished.open("wb") as file:
            with _writer(file, source) as writer:
                for rows in batches:
                    if rows:
                        batch = _record_batch(source, rows)
                        writer.write_batch(batch)
                        n += len(rows)
                        content_hash = (content_hash + hash_of(batch)) % MODULUS
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
    except BaseException as error:
        discard(written)
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise
    if not n:
        discard(written)
        return None
    return WrittenPart(folder, written.path, n, f"{content_hash:016x}", size)


def publish(written: WrittenPart) -> None:
    """Gives the part its name, in place of whatever has it, and syncs the folders above."""
    try:
        written.unfinished.replace(written.file)
        for folder in (written.file.parent, written.file.parent.parent, written.folder):
            _sync_folder(folder)
    except OSError as error:
        raise _unwritable(written.folder, error) from error


def discard(written: WrittenPart) -> None:
    """Removes the temporary file, where there is one."""
    _attempt(lambda: written.unfinished.unlink(missing_ok=True))


def remove_unfinished(folder: Path) -> int:
    """Removes what killed runs left under temporary names; gives how many files."""
    left = list(folder.glob(f"*/day=*/.*{UNFINISHED}"))
    for file in left:
        _attempt(file.unlink)
    return len(left)


def set_aside(file: Path) -> Path:
    """Renames a file that nobody can read, so that its name is free and a person can look at it."""
    aside = file.with_name(f"{file.name}.unreadable")
    file.replace(aside)
    return aside


def _writer(file: Any, source: Source) -> pq.ParquetWriter:
    schema = parquet_schema(source)
    texts = [field.name for field in schema if field.type == pa.string()]
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=texts,
        column_encoding={
            field.name: "DELTA_BINARY_PACKED" if pa.types.is_integer(field.type) else "BYTE_STREAM_SPLIT"
            for field in schema
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        },
        write_page_checksum=True,  # so that a flipped bit is an error when read, and never a number
        store_schema=True,
    )


def _record_batch(source: Source, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    # In two steps: pa.array(values, type) would cut 1.5 to 1 without a word, a cast raises.
    schema = parquet_schema(source)
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows neither can nor needs to
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _attempt(remove: Callable[[], object]) -> None:
    with suppress(OSError):  # what is left is found and removed by the next run
        remove()


def _unwritable(folder: Path, error: OSError) -> ArchiveUnwritableError:
    return ArchiveUnwritableError(
        f"the archive {folder} cannot be written ({error.strerror or error}): its day was not deleted; "
        "make room, or move the archive and set RPA_ANALYTICS_ARCHIVE to where it is then"
    )
