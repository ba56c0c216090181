"""What every response has in common, whatever answers."""

import re
import uuid

from flask import Flask, Response, g, request

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def init_messages(app: Flask) -> None:
    """Give every response its request id and nosniff, and its members the schema's order."""
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(_identify)
    app.after_request(_finish)


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
