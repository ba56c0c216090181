"""Run the migrations on the database of DATABASE_URL."""

from alembic import context
from pyramid.paster import setup_logging

from app.config import Settings
from app.database import create_engine
from app.migrations import migration_transaction, render_item
from app.models import Base


def migrate() -> None:
    """Run the migrations that are missing, in one transaction, or print their SQL with `--sql`."""
    setup_logging(context.config.config_file_name)
    if context.is_offline_mode():
        url = Settings().database_url
        context.configure(url=url, target_metadata=Base.metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    engine = create_engine(Settings().database_url)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_item=render_item,
            render_as_batch=True,
            transactional_ddl=True,
        )
        with migration_transaction(connection):
            context.run_migrations()
    engine.dispose()


migrate()
