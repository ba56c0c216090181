"""The database session of each request: what Flask-SQLAlchemy's `db` is in Flask, asynchronous."""

from quart import Quart, current_app, g
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from app.database import create_engine


class Database:
    """An extension that knows no app until `init_app`."""

    def init_app(self, app: Quart, database_url: str) -> None:
        """Give the app its engine, which connects when first used."""
        engine = create_engine(database_url)
        app.extensions["engine"] = engine
        app.extensions["sessions"] = async_sessionmaker(engine, expire_on_commit=False)
        app.teardown_appcontext(self._close_session)
        app.after_serving(engine.dispose)

    @property
    def engine(self) -> AsyncEngine:
        """The engine of the running app."""
        engine: AsyncEngine = current_app.extensions["engine"]
        return engine

    @property
    def session(self) -> AsyncSession:
        """The session of this request or websocket, opened when first used."""
        if "session" not in g:
            g.session = current_app.extensions["sessions"]()
        session: AsyncSession = g.session
        return session

    async def _close_session(self, _: BaseException | None) -> None:
        if "session" in g:
            await g.session.close()


db = Database()
