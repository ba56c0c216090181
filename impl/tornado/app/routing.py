"""Which handler answers which path."""

from typing import Any

from tornado.routing import URLSpec
from tornado.web import RequestHandler

from app.auth import TokensHandler
from app.events import EchoHandler, EventsHandler
from app.health import LivenessHandler, ReadinessHandler
from app.items import ItemHandler, ItemsHandler
from app.users import CurrentUserHandler, UserHandler, UsersHandler

_ID = "[1-9][0-9]{0,17}"

_HANDLERS: list[tuple[str, type[RequestHandler]]] = [
    (r"/users", UsersHandler),
    (r"/users/me", CurrentUserHandler),
    (rf"/users/(?P<user_id>{_ID})", UserHandler),
    (r"/tokens", TokensHandler),
    (r"/items", ItemsHandler),
    (rf"/items/(?P<item_id>{_ID})", ItemHandler),
    (r"/healthz", LivenessHandler),
    (r"/readyz", ReadinessHandler),
    (r"/ws/echo", EchoHandler),
    (r"/ws/events", EventsHandler),
]


def handlers(arguments: dict[str, Any]) -> list[URLSpec]:
    """Return the handler list; `arguments` are what `initialize` takes."""
    return [URLSpec(path, handler, arguments) for path, handler in _HANDLERS]
