"""Postgres keeps steps and samples by UTC day; SQLite keeps them as they are.

No row is copied: the table with its rows becomes the default partition of a new one, in a moment and
whatever its size. `rpa-analytics run partition-maintenance` (a task of hourly_aggregation) moves its rows
into their days afterwards, day by day, while agents go on writing.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The new table stands before anyone may use it, so what was granted on the old one is granted on it, too.
_GRANTS = """
DO $$
DECLARE
    given record;
    owner name;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = '{table}_default'::regclass;
    IF owner <> current_user THEN
        EXECUTE format('ALTER TABLE {table} OWNER TO %I', owner);
    END IF;
    FOR given IN
        SELECT acl.privilege_type AS privilege, '' AS columns, acl.grantee
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = '{table}_default'::regclass AND acl.grantee <> relowner
        UNION ALL
        SELECT acl.privilege_type, format(' (%I)', attname), acl.grantee
        FROM pg_attribute, aclexplode(attacl) AS acl
        WHERE attrelid = '{table}_default'::regclass
    LOOP
        EXECUTE format(
            'GRANT %s%s ON {table} TO %s', given.privilege, given.columns,
            CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(given.grantee)) END
        );
    END LOOP;
END
$$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    _partition(
        "step_metrics",
        by="ended_at_us",
        key="execution_id, recorder_id, step_seq, attempt, ended_at_us",
        further_index="workflow_id",
        comment="Finished steps. The key holds the end time because Postgres partitions by it.",
    )
    _partition(
        "resource_metrics",
        by="sampled_at_us",
        key="agent_id, target, sampled_at_us",
        further_index="execution_id",
        comment="Resource samples, one wide row per target.",
    )


def _partition(table: str, *, by: str, key: str, further_index: str, comment: str) -> None:
    both = f"{further_index}_{by}"
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_default")
    # As Postgres names those of a partition that it makes itself.
    op.execute(f"ALTER INDEX pk_{table} RENAME TO {table}_default_pkey")
    op.execute(f"ALTER INDEX ix_{table}_{by} RENAME TO {table}_default_{by}_idx")
    op.execute(f"ALTER INDEX ix_{table}_{both} RENAME TO {table}_default_{both}_idx")
    op.execute(
        f"CREATE TABLE {table} (LIKE {table}_default INCLUDING DEFAULTS INCLUDING COMMENTS) "
        f"PARTITION BY RANGE ({by})"
    )
    op.execute(f"COMMENT ON TABLE {table} IS '{comment}'")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({key})")
    op.execute(f"CREATE INDEX ix_{table}_{by} ON {table} ({by})")
    op.execute(f"CREATE INDEX ix_{table}_{both} ON {table} ({further_index}, {by})")
    if table == "step_metrics":
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_execution_id "
            "FOREIGN KEY (execution_id) REFERENCES execution (execution_id)"
        )
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {table}_default DEFAULT")
    op.execute(_GRANTS.format(table=table))
