"""The application: all of its wiring in one view."""

from tornado.web import Application

from app.logs import log_request
from app.messages import AllowOrigin, NotFoundHandler
from app.routing import handlers
from app.services import Services
from app.websockets import MAX_MESSAGE_BYTES, PING_SECONDS, KeepUpgrade


def create_app(services: Services) -> Application:
    """Return the application, which works with the services."""
    arguments = {"services": services}
    return Application(
        handlers(arguments),
        transforms=[KeepUpgrade, AllowOrigin.of(services.settings.cors_origins)],
        default_handler_class=NotFoundHandler,
        default_handler_args=arguments,
        log_function=log_request,
        websocket_ping_interval=PING_SECONDS,
        websocket_max_message_size=MAX_MESSAGE_BYTES,
    )
