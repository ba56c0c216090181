"""The ASGI application: Django for HTTP, Channels for websockets, and the feed beside them."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from django.apps import apps
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
HTTP_THREADS = 32

# get_asgi_application() starts a thread and opens a connection for each request: on PostgreSQL it
# read 90 items/s and 54 pages/s where the WSGI application behind a2wsgi read 203 and 112, on
# SQLite 146 and 85 where that read 263 and 141.
# The queue has no bound, as an answer has one (its file): a slow reader keeps no thread waiting.
http = WSGIMiddleware(get_wsgi_application(), workers=HTTP_THREADS, send_queue_size=0)

from app.bodies import BodyReader  # noqa: E402 (Django is set up first)
from app.middleware import HandshakeMiddleware  # noqa: E402
from events.routing import websocket_urlpatterns  # noqa: E402


async def lifespan(
    _scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Run the feed while the server runs."""
    await receive()
    async with apps.get_app_config("events").feed:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


application = ProtocolTypeRouter(
    {
        "http": BodyReader(http),
        "websocket": HandshakeMiddleware(URLRouter(websocket_urlpatterns)),
        "lifespan": lifespan,
    }
)
