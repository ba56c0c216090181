"""What holds for every response: its headers."""

from sanic import HTTPResponse

from app.context import App, Request
from app.cors import cors_headers


def init_messages(app: App) -> None:
    """Give every response its request id, nosniff and its CORS fields."""

    @app.on_response
    async def add_headers(request: Request, response: HTTPResponse) -> None:
        response.headers["X-Request-ID"] = request.id
        response.headers["X-Content-Type-Options"] = "nosniff"

    # sanic-ext's CORS would answer a preflight itself, with fixed methods.
    @app.on_response
    async def allow_origin(request: Request, response: HTTPResponse) -> None:
        asks_first = "Access-Control-Request-Method" in request.headers
        is_preflight = request.method == "OPTIONS" and response.status == 204 and asks_first
        headers = cors_headers(
            app.ctx.settings.cors_origins,
            request.headers.getone("Origin", None),
            response.headers["Allow"] if is_preflight else None,
        )
        response.headers.update(headers)
        if headers and headers["Access-Control-Allow-Origin"] != "*":
            response.headers.add("Vary", "Origin")
