"""Alembic's entry: runs the steps on the connection that `cloud.store.migrate` brings, in its transaction."""

from alembic import context

from cloud.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite cannot alter most of a table in place; batch operations copy it.
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
