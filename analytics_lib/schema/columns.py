"""What the columns of all tables are made of: one builder for each kind of value, with its unit."""

from collections.abc import Iterator

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, MetaData, SmallInteger, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def text(name: str, comment: str, *, key: bool = False) -> Column[str]:
    return Column(
        name, Text, primary_key=key, nullable=False, server_default=None if key else "", comment=comment
    )


def time(name: str, comment: str, *, key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(
        name,
        BigInteger,
        primary_key=key,
        nullable=nullable,
        autoincrement=False,
        comment=comment + ", µs UTC",
    )


def count(
    name: str, comment: str, *, key: bool = False, nullable: bool = False, default: str | None = None
) -> Column[int]:
    """`default`: what the rows of those get who do not know the column, older agents."""
    return Column(
        name,
        BigInteger,
        primary_key=key,
        nullable=nullable,
        autoincrement=False,
        server_default=default,
        comment=comment,
    )


def number(name: str, comment: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable, comment=comment)


def flag(name: str, comment: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, comment=comment)


def dimensions() -> Iterator[Column[str]]:
    yield text("workflow_version", "release of the workflow")
    yield text("environment", "production, test, simulated …")
    yield text("robot_id", "the worker that ran it")
    yield text("host", "the machine")
    yield text("queue", "the queue the work came from")


def bookkeeping(bucket_of: str) -> Iterator[Column[int]]:
    yield Column("bucket", SmallInteger, nullable=False, comment=f"crc32({bucket_of}) mod 16: the shard")
    yield count("content_hash", "blake2b-64 of what happened (not of who recorded it)")


def execution_id() -> Column[str]:
    return Column(
        "execution_id",
        Text,
        ForeignKey("execution.execution_id"),
        primary_key=True,
        nullable=False,
        comment="the run it belongs to",
    )
