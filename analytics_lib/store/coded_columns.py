"""Rows of a table as columns, quickly: texts that repeat arrive as codes and are decoded once.

What reading costs is making Python objects: eleven columns of a step take sqlite3 2.4 µs a row, pandas
through SQLAlchemy 12 µs. Here the texts of a row are one value made by the database, looked up in a
dictionary of those seen: 1.7 µs (SQLite) with everything in numpy's arrays.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Table
from sqlalchemy.types import BigInteger, Double, Integer, Text

from analytics_lib.schema import POSTGRES_SCHEMA
from analytics_lib.windows import Window

_CHUNK_ROWS: Final = 1_000  # small enough to stay in the processor's cache
_SEPARATOR: Final = "\x1f"  # no text of ours has control characters; where one has, its parts do not add up


def read_coded(
    connection: Connection,
    table: Table,
    moment: str,
    window: Window,
    coded: Sequence[str],
    plain: Sequence[str],
) -> pd.DataFrame:
    """The columns of the rows whose `moment` lies in the window: first the coded, then the plain ones.

    Coded texts are Categoricals (their categories in no order), coded integers int64; plain columns are
    int64, float64 (NaN for NULL) or object. In the caller's transaction.
    """
    cursor: Any = connection.connection.cursor()
    on_sqlite = connection.dialect.name == "sqlite"
    # Identifiers come from the schema, never from data.
    of_texts = _sqlite_key(coded) if on_sqlite else _postgres_key(coded)
    source = table.name if on_sqlite else f"{POSTGRES_SCHEMA}.{table.name}"
    mark = "?" if on_sqlite else "%s"
    query = (
        f"SELECT {', '.join([of_texts, *plain])} FROM {source} "  # noqa: S608  # see above
        f"WHERE {moment} >= {mark} AND {moment} < {mark}"
    )
    cursor.execute(query, (window.start_us, window.end_us))
    keys: dict[Any, int] = {}
    codes: list[Any] = []
    columns: list[list[Any]] = [[] for _ in plain]
    types = [_numpy_type(table, name) for name in plain]
    while rows := cursor.fetchmany(_CHUNK_ROWS):
        key, *values = zip(*rows, strict=True)
        codes.append(_codes(keys, key))
        for kept, part, dtype in zip(columns, values, types, strict=True):
            kept.append(np.array(part, dtype=dtype))
    decode = json.loads if on_sqlite else _split(len(coded))
    frame = _decoded(table, coded, [decode(key) for key in keys], _joined(codes, np.int64))
    for name, kept, dtype in zip(plain, columns, types, strict=True):
        frame[name] = _joined(kept, dtype)
    return frame


def _codes(keys: dict[Any, int], of_rows: Sequence[Any]) -> Any:
    """Each row's number in the dictionary, which grows by what is new."""
    for key in set(of_rows).difference(keys):
        keys[key] = len(keys)
    return np.fromiter(map(keys.__getitem__, of_rows), np.int64, len(of_rows))


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)


def _decoded(table: Table, names: Sequence[str], keys: list[Sequence[Any]], codes: Any) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for name, values in zip(names, zip(*keys, strict=True) if keys else [()] * len(names), strict=True):
        if isinstance(table.c[name].type, Text):
            of_key, distinct = pd.factorize(np.array(values, dtype=object))
            columns[name] = pd.Categorical.from_codes(
                of_key[codes], categories=pd.Index(distinct, dtype=object)
            )
        else:
            columns[name] = np.array(values, dtype=np.int64)[codes]
    return pd.DataFrame(columns)


def _sqlite_key(names: Sequence[str]) -> str:
    return f"json_array({', '.join(names)})"


def _postgres_key(names: Sequence[str]) -> str:
    return " || E'\\x1f' || ".join(names)


def _split(count: int) -> Callable[[str], Sequence[str]]:
    def parts(key: str) -> Sequence[str]:
        found = key.split(_SEPARATOR)
        if len(found) != count:
            raise ValueError(f"a text of the database holds the control character U+001F: {key!r}")
        return found

    return parts


def _numpy_type(table: Table, name: str) -> Any:
    column = table.c[name]
    if isinstance(column.type, Double) or (
        column.nullable and isinstance(column.type, (Integer, BigInteger))
    ):
        return np.float64
    return np.int64 if isinstance(column.type, (Integer, BigInteger)) else object
