"""Flask-Migrate's environment: the app's engine, and the metadata of its models."""

from logging.config import fileConfig

from alembic import context
from flask import current_app
from flask_sqlalchemy import SQLAlchemy

from app.migrations import migration_transaction, render_item


def migrate() -> None:
    """Run the migrations against the app's database, or print their SQL with `--sql`."""
    fileConfig(str(context.config.config_file_name), disable_existing_loggers=False)
    db: SQLAlchemy = current_app.extensions["migrate"].db
    if context.is_offline_mode():
        context.configure(url=db.engine.url, target_metadata=db.metadata, literal_binds=True)
        _run()
        return
    with db.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            render_item=render_item,
            **current_app.extensions["migrate"].configure_args,
        )
        with migration_transaction(connection):
            context.run_migrations()


def _run() -> None:
    with context.begin_transaction():
        context.run_migrations()


migrate()
