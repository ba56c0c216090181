"""What every response has in common, whatever answers."""

import re
import uuid

from flask import Flask, Response, current_app, g, request

from app.cors import cors_headers

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def init_messages(app: Flask) -> None:
    """Give every response its request id and nosniff, and its members the schema's order."""
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(_identify)
    app.after_request(_finish)
    app.after_request(_allow_origin)


def _identify() -> None:
    sent = request.headers.get("X-Request-ID", "")
    g.request_id = sent if _CLIENT_ID.fullmatch(sent) else str(uuid.uuid4())


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.status_code in {204, 304}:
        # Contract: Flask would call an empty body text/html.
        del response.headers["Content-Type"]
    return response


# Flask-CORS would answer requests without an Origin too, and a preflight with fixed methods.
def _allow_origin(response: Response) -> Response:
    asks_first = "Access-Control-Request-Method" in request.headers
    is_preflight = request.method == "OPTIONS" and response.status_code == 204 and asks_first
    headers = cors_headers(
        current_app.config["CORS_ORIGINS"],
        request.headers.get("Origin"),
        response.headers["Allow"] if is_preflight else None,
    )
    response.headers.update(headers)
    if headers and headers["Access-Control-Allow-Origin"] != "*":
        response.vary.add("Origin")
    return response
