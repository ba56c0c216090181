"""What every response has in common, whatever answers."""

import re
import uuid

from quart import Quart, current_app, g, has_request_context, request, websocket
from quart.typing import ResponseTypes
from quart.wrappers.base import BaseRequestWebsocket

from app.cors import cors_headers

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def init_messages(app: Quart) -> None:
    """Give every response its request id and nosniff, and its members the schema's order."""
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(_identify)
    app.before_websocket(_identify)
    app.after_request(_finish)
    app.after_websocket(_finish_handshake)


def this_request() -> BaseRequestWebsocket:
    """Return the request, or the handshake of the websocket, that is being served."""
    return request if has_request_context() else websocket


async def _identify() -> None:
    sent = this_request().headers.get("X-Request-ID", "")
    g.request_id = sent if _CLIENT_ID.fullmatch(sent) else str(uuid.uuid4())


async def _finish(response: ResponseTypes) -> ResponseTypes:
    response.headers["X-Request-ID"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.status_code in {204, 304}:
        # Contract: Quart would call an empty body text/html, of length 0.
        del response.headers["Content-Type"], response.headers["Content-Length"]
    _allow_origin(response)
    return response


# Quart-CORS would answer a preflight itself, with fixed methods and on any path.
def _allow_origin(response: ResponseTypes) -> None:
    sent = this_request()
    asks_first = "Access-Control-Request-Method" in sent.headers
    is_preflight = sent.method == "OPTIONS" and response.status_code == 204 and asks_first
    headers = cors_headers(
        current_app.config["CORS_ORIGINS"],
        sent.headers.get("Origin"),
        response.headers["Allow"] if is_preflight else None,
    )
    response.headers.update(headers)
    if headers and headers["Access-Control-Allow-Origin"] != "*":
        response.headers.add("Vary", "Origin")


async def _finish_handshake(refusal: ResponseTypes | None) -> ResponseTypes | None:
    return None if refusal is None else await _finish(refusal)
