"""What holds for every response: its headers."""

from sanic import HTTPResponse

from app.context import App, Request


def init_messages(app: App) -> None:
    """Give every response its request id and nosniff."""

    @app.on_response
    async def add_headers(request: Request, response: HTTPResponse) -> None:
        response.headers["X-Request-ID"] = request.id
        response.headers["X-Content-Type-Options"] = "nosniff"
