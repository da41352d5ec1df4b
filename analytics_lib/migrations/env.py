"""Alembic's entry: migrates the connection that `analytics_lib.migrations.migrate` hands over."""

from alembic import context

from analytics_lib.schema import POSTGRES_SCHEMA, VERSION_TABLE, metadata

connection = context.config.attributes["connection"]
postgres = connection.dialect.name == "postgresql"
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    version_table_schema=POSTGRES_SCHEMA if postgres else None,
    render_as_batch=not postgres,
)
with context.begin_transaction():
    context.run_migrations()
