"""What a source's Parquet file looks like: the columns of its table, with comments, units and version."""

from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import BigInteger, Boolean, Column, Double, SmallInteger, Text

from analytics_lib.catalog import TIME_COLUMN, Source
from analytics_lib.schema import RAW_TABLES, SCHEMA_VERSION
from analytics_lib.windows import from_us

_TYPES: Final = (
    (Boolean, pa.bool_()),
    (SmallInteger, pa.int16()),
    (BigInteger, pa.int64()),
    (Double, pa.float64()),
    (Text, pa.string()),
)
# The longest ending first: bytes_per_s ends with _s, too.
_UNITS: Final = (
    ("_bytes_per_s", "bytes/s"),
    ("_bytes", "bytes"),
    ("_percent", "%"),
    ("_ms", "ms"),
    ("_us", "µs since 1970-01-01 UTC"),
)


@lru_cache
def parquet_schema(source: Source) -> pa.Schema:
    """The columns in the table's order; each field says its comment and unit, the schema its version."""
    table = RAW_TABLES[source]
    about = {"source": source, "comment": str(table.comment), "rpa_schema_version": str(SCHEMA_VERSION)}
    return pa.schema([_field(column) for column in table.columns], metadata=about)


def key_columns(source: Source) -> list[str]:
    """What makes two rows the same. A step's end time is only in the table's key for the partitions."""
    key = [column.name for column in RAW_TABLES[source].primary_key.columns]
    return [name for name in key if source != "step" or name != TIME_COLUMN[source]]


def part_path(source: Source, day_us: int, part: int) -> str:
    """Where a part lies in the archive.

    >>> part_path("step", 1785542400000000, 0)
    'step/day=2026-08-01/part-0.parquet'
    """
    return f"{source}/day={from_us(day_us):%Y-%m-%d}/part-{part}.parquet"


def value_where_missing(source: Source, name: str) -> Any:
    """The value of a column in files from before there was such a column: the table's own default."""
    column = RAW_TABLES[source].columns[name]
    return None if column.nullable or not isinstance(column.type, Text) else ""


def _field(column: Column[Any]) -> pa.Field:
    kind = next(kind for sql, kind in _TYPES if isinstance(column.type, sql))
    about = {"comment": str(column.comment)}
    unit = next((unit for ending, unit in _UNITS if column.name.endswith(ending)), "")
    if unit:
        about["unit"] = unit
    return pa.field(column.name, kind, nullable=bool(column.nullable), metadata=about)
