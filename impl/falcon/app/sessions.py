"""A database session for each request."""

from typing import Any

from falcon.asgi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker


class SessionMiddleware:
    """Put a session into the context of every request to a resource; it connects when used."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def process_resource(
        self, req: Request, resp: Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Open the session."""
        req.context.session = self._sessions()

    async def process_response(
        self, req: Request, resp: Response, resource: object, req_succeeded: bool
    ) -> None:
        """Give the connection back, before a slow client takes the response."""
        if "session" in req.context:
            await req.context.session.close()
