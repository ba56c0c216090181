"""The database session of each request."""

from sanic import HTTPResponse

from app.context import App, Request


def init_sessions(app: App) -> None:
    """Give each request a session, and take it back before the response is sent."""

    @app.middleware("request", priority=1)  # before those of blueprints
    async def open_session(request: Request) -> None:
        request.ctx.session = request.app.ctx.sessions()

    @app.on_response
    async def close_session(request: Request, _: HTTPResponse) -> None:
        if hasattr(request.ctx, "session"):
            await request.ctx.session.close()
