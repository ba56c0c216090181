"""Every path with its methods; which view serves a method is said at the view."""

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNoContent
from pyramid.request import Request
from pyramid.response import Response

from app.errors import Problem
from app.items import ItemContext
from app.users import UserContext

_ID = "[1-9][0-9]{0,17}"
# Contract: Pyramid's patterns would let a newline end a path.
_NO_NEWLINE = r".*\Z"


def includeme(config: Configurator) -> None:
    """Add the routes, in the order of openapi.yaml."""
    resource = ("GET", "PUT", "PATCH", "DELETE")
    _add_route(config, "users", "/users", "GET", "POST")
    _add_route(config, "current_user", "/users/me", "GET")
    _add_route(config, "user", f"/users/{{user_id:{_ID}}}", *resource, factory=UserContext)
    _add_route(config, "tokens", "/tokens", "POST")
    _add_route(config, "items", "/items", "GET", "POST")
    _add_route(config, "item", f"/items/{{item_id:{_ID}}}", *resource, factory=ItemContext)
    _add_route(config, "liveness", "/healthz", "GET")
    _add_route(config, "readiness", "/readyz", "GET")
    _add_route(config, "echo", "/ws/echo", "GET")
    _add_route(config, "watch_events", "/ws/events", "GET")


def _add_route(
    config: Configurator, name: str, pattern: str, *methods: str, factory: Any = None
) -> None:
    """Add a route for its methods, and behind it one for all others."""
    config.add_route(name, pattern, path_info=_NO_NEWLINE, request_method=methods, factory=factory)
    # Contract: Pyramid would answer 404 to a method without a view, OPTIONS among them.
    config.add_route(f"{name}:others", pattern, path_info=_NO_NEWLINE)
    config.add_view(_other_methods(*methods), route_name=f"{name}:others")


def _other_methods(*methods: str) -> Callable[[Request], Response]:
    """Return the view that answers OPTIONS, and refuses what a path does not have."""
    implied = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"}
    allow = {"Allow": ", ".join(sorted({*methods, *implied}))}

    def answer(request: Request) -> Response:
        if request.method == "OPTIONS":
            return HTTPNoContent(headers=allow)
        raise Problem("method-not-allowed", allow)

    return answer
