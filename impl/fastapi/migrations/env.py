"""Run the migrations on the database of DATABASE_URL."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from app.config import Settings
from app.database import create_engine
from app.migrations import migration_transaction, render_item
from app.models import Base


def migrate(connection: Connection) -> None:
    """Run the migrations that are missing, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        render_as_batch=True,
        transactional_ddl=True,
    )
    with migration_transaction(connection):
        context.run_migrations()


async def migrate_online() -> None:
    """Connect and migrate."""
    engine = create_engine(Settings().database_url)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


if context.is_offline_mode():
    context.configure(
        url=Settings().database_url, target_metadata=Base.metadata, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(migrate_online())
