"""Who may do what in Postgres: the group roles of a store, as SQL that a person can read before it runs.

    owner     owns the tables: who migrates
    agent     adds raw rows, and sees whether a row is there already; reads no content, changes nothing
    pipeline  what the DAGs need; owns the two partitioned tables, because only an owner adds a day
    reader    reads everything, within a time limit, and changes nothing

They hold no password and log nobody in: people and machines get logins of their own `IN ROLE rpa_agent`
and so on. Running the SQL again changes nothing, and gives a newer schema's tables their rights.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Engine, Table
from sqlalchemy.exc import SQLAlchemyError

from analytics_lib.errors import SettingsError, StoreError
from analytics_lib.schema import (
    POSTGRES_SCHEMA,
    RAW_TABLES,
    VERSION_TABLE,
    execution,
    execution_abandoned,
    metadata,
    pending,
)
from analytics_lib.store.engine import shown_url
from analytics_lib.store.partitions import PARTITIONED
from analytics_lib.store.versions import schema_version

DEFAULT_PREFIX: Final = "rpa"
READER_TIMEOUT_SEC: Final = 60
_PREFIX: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SCHEMA: Final = POSTGRES_SCHEMA


def roles_sql(prefix: str = DEFAULT_PREFIX, reader_timeout_sec: int = READER_TIMEOUT_SEC) -> str:
    """The SQL that makes the roles and grants them their rights. Raises SettingsError for a wrong prefix."""
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(f"{prefix!r} is no prefix of roles: use small letters, digits and _, 40 at most")
    owner, agent, pipeline, reader = (f"{prefix}_{role}" for role in ("owner", "agent", "pipeline", "reader"))
    days = [RAW_TABLES[source] for source in PARTITIONED]
    appended = [execution, *(t for t in RAW_TABLES.values() if t not in days), execution_abandoned, pending]
    kept = [table for table in metadata.tables.values() if table not in (*appended, *days)]
    grants = "\n".join(
        [
            f"REVOKE ALL ON {_names([*appended, *kept])}, {_SCHEMA}.{VERSION_TABLE}",
            f"    FROM {agent}, {pipeline}, {reader};",
            f"REVOKE ALL ON {_names(days)} FROM {agent}, {reader};",
            f"GRANT USAGE ON SCHEMA {_SCHEMA} TO {agent}, {pipeline}, {reader};",
            f"GRANT CREATE ON SCHEMA {_SCHEMA} TO {pipeline}; -- a table for each day of steps and samples",
            f"GRANT SELECT ON {_SCHEMA}.{VERSION_TABLE} TO {agent}, {pipeline}, {reader};",
            "",
            "-- Agents add rows; keys and hashes tell the same row sent again from another with its key.",
            f"GRANT INSERT ON {_names([execution, *RAW_TABLES.values(), pending])} TO {agent};",
            f"GRANT USAGE ON SEQUENCE {_SCHEMA}.pending_id_seq TO {agent}, {pipeline};",
            *(
                f"GRANT SELECT ({_key(t)}) ON {_name(t)} TO {agent};"
                for t in (execution, *RAW_TABLES.values())
            ),
            "",
            "-- The pipeline: raw rows are never changed; what is archived is deleted.",
            f"GRANT SELECT, INSERT, DELETE ON {_names(appended)} TO {pipeline};",
            f"GRANT REFERENCES ON {_name(execution)} TO {pipeline};",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {_names(kept)} TO {pipeline};",
            "",
            f"GRANT SELECT ON {_names([*appended, *kept, *days])} TO {reader};",
        ]
    )
    return _SQL.format(
        owner=owner,
        agent=agent,
        pipeline=pipeline,
        reader=reader,
        schema=_SCHEMA,
        days=", ".join(f"'{table.name}'" for table in days),
        grants=grants,
        timeout=int(reader_timeout_sec),
    )


def apply_roles(engine: Engine, sql: str) -> None:
    """Runs the SQL in one transaction. Raises SettingsError on SQLite and StoreError where it is refused."""
    if engine.dialect.name != "postgresql":
        raise SettingsError(
            "roles are Postgres' own: SQLite's file is as safe as its folder's rights make it"
        )
    driver: Any = engine.dialect.dbapi
    try:
        with engine.begin() as connection:
            if schema_version(connection) is None:
                raise StoreError(
                    f"the store {shown_url(engine.url)} has no tables: run `rpa-analytics migrate` first"
                )
            driven: Any = connection.connection.driver_connection
            driven.execute(sql)  # as psql would: several statements, and % is no placeholder
    except (SQLAlchemyError, driver.Error) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StoreError(
            f"the store {shown_url(engine.url)} did not take the roles ({reason}): apply them as superuser, "
            "or as the owner of database and tables with CREATEROLE"
        ) from None


def _key(table: Table) -> str:
    names = [column.name for column in table.primary_key.columns]
    return ", ".join([*names, "content_hash"] if "content_hash" in table.c else names)


def _name(table: Table) -> str:
    return f"{_SCHEMA}.{table.name}"


def _names(tables: Iterable[Table]) -> str:
    return ", ".join(map(_name, tables))


_SQL: Final = """\
-- The roles of RPA Analytics & Insights, made by `rpa-analytics roles --print`. Run it in the store's
-- database, as a superuser or as the owner of database and tables with CREATEROLE: after `rpa-analytics
-- migrate`, after each upgrade, and when a login became a reader. Logins are yours to make:
--   CREATE ROLE robot_01 LOGIN PASSWORD '…' IN ROLE {agent};
--   CREATE ROLE airflow  LOGIN PASSWORD '…' IN ROLE {pipeline};
--   CREATE ROLE grafana  LOGIN PASSWORD '…' IN ROLE {reader};

DO $$
DECLARE
    name text;
    found record;
BEGIN
    FOREACH name IN ARRAY ARRAY['{owner}', '{agent}', '{pipeline}', '{reader}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
    END LOOP;
    -- A batch is copied into a temporary table first.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {agent}, {pipeline}', current_database());
    -- A migration says CREATE SCHEMA IF NOT EXISTS.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO {owner}', current_database());
    GRANT {pipeline} TO {owner}; -- a migration may change the partitioned tables, too
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        GRANT {owner} TO CURRENT_USER;
    END IF;

    ALTER SCHEMA {schema} OWNER TO {owner};
    GRANT CREATE ON SCHEMA {schema} TO {pipeline};
    FOR found IN
        SELECT c.relname, w.wanted
        FROM pg_class c
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        JOIN pg_class top ON top.oid = coalesce(i.inhparent, c.oid)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN top.relname IN ({days}) THEN '{pipeline}' ELSE '{owner}' END AS wanted
        ) AS w
        WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind IN ('r', 'p')
        AND pg_get_userbyid(c.relowner) <> w.wanted
    LOOP
        EXECUTE format('ALTER TABLE {schema}.%I OWNER TO %I', found.relname, found.wanted);
    END LOOP;
END
$$;

{grants}

-- Settings of a group do not reach its members, so each login that reads gets them. What keeps it from
-- writing are the rights above; these keep a slow question from standing in everybody's way.
DO $$
DECLARE
    member name;
BEGIN
    FOR member IN
        SELECT pg_get_userbyid(m.member) FROM pg_auth_members m
        WHERE m.roleid = '{reader}'::regrole AND NOT m.admin_option -- who made the role is none who reads
        AND (SELECT rolcanlogin FROM pg_roles WHERE oid = m.member)
    LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET statement_timeout = ''{timeout}s''',
            member, current_database());
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET default_transaction_read_only = on',
            member, current_database());
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'the time limit of readers was not set: %', SQLERRM;
END
$$;
"""
